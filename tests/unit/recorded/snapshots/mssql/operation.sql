-- connecting
SELECT @@TRANCOUNT;
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET DATEFORMAT ymd; SET DATEFIRST 7;
SELECT CAST(SERVERPROPERTY('ProductVersion') AS varchar), CAST(SERVERPROPERTY('EngineEdition') AS integer);
SELECT SYSDATETIME();

-- the first message of a conversation
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
COMMIT;
BEGIN;
INSERT INTO [convstore_conversation] ([id], [memory_id], [created_at], [active_at], [erased], [changes], [first_live], [metadata])
    VALUES (?, ?, ?, ?, ?, ?, NULL, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 'a'
    -- 3 = 2026-01-02 03:04:05.678901+00:00
    -- 4 = 2026-01-02 03:04:05.678901+00:00
    -- 5 = 0
    -- 6 = 0
COMMIT;
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?));
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = '7e57ab1e000040008000000000000001'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 1
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "hello"}]}'
    -- 5 = '7e57ab1e000040008000000000000001'
    -- 6 = '215163c13bde4969ae4dd6a4271bef15'
    -- 7 = 2026-01-02 03:04:05.678901+00:00
    -- 8 = 65
    -- 9 = 0
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 1
    -- 4 = 1
COMMIT;

-- two first messages at once: the other one's conversation is there first
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
COMMIT;
BEGIN;
INSERT INTO [convstore_conversation] ([id], [memory_id], [created_at], [active_at], [erased], [changes], [first_live], [metadata])
    VALUES (?, ?, ?, ?, ?, ?, NULL, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 'a'
    -- 3 = 2026-01-02 03:04:05.678901+00:00
    -- 4 = 2026-01-02 03:04:05.678901+00:00
    -- 5 = 0
    -- 6 = 0
ROLLBACK;
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?));
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = '7e57ab1e000040008000000000000001'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT TOP 9 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 1
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 2
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "hello"}]}'
    -- 5 = '7e57ab1e000040008000000000000001'
    -- 6 = '215163c13bde4969ae4dd6a4271bef15'
    -- 7 = 2026-01-02 03:04:05.678901+00:00
    -- 8 = 65
    -- 9 = 0
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 1
    -- 4 = 2
COMMIT;

-- a message to a conversation that is there
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?));
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = '7e57ab1e000040008000000000000001'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT TOP 9 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 1
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 2
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "hello"}]}'
    -- 5 = '7e57ab1e000040008000000000000001'
    -- 6 = '215163c13bde4969ae4dd6a4271bef15'
    -- 7 = 2026-01-02 03:04:05.678901+00:00
    -- 8 = 65
    -- 9 = 0
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 1
    -- 4 = 2
COMMIT;

-- a message to a conversation that was silent for two hours
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [active_at] = ?
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 2026-01-02 03:04:05.678901+00:00
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?));
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = '7e57ab1e000040008000000000000001'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT TOP 9 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 1
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 2
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "hello"}]}'
    -- 5 = '7e57ab1e000040008000000000000001'
    -- 6 = '215163c13bde4969ae4dd6a4271bef15'
    -- 7 = 2026-01-02 03:04:05.678901+00:00
    -- 8 = 65
    -- 9 = 0
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 1
    -- 4 = 2
COMMIT;

-- two messages at once, and the pinned first one
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?, ?));
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = '7e57ab1e000040008000000000000001'
    -- 3 = '465f05c124285a3689de179d3a841993'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT TOP 1 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 6
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL), (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 7
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "look"}]}'
    -- 5 = '7e57ab1e000040008000000000000001'
    -- 6 = 'ca4e5008ba9b4f778c8814ca5e116d46'
    -- 7 = 2026-01-02 03:04:05.678901+00:00
    -- 8 = 64
    -- 9 = 0
    -- 10 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 11 = 8
    -- 12 = 'tool'
    -- 13 = '{"role": "tool", "content": [{"type": "text", "value": ""}]}'
    -- 14 = '465f05c124285a3689de179d3a841993'
    -- 15 = 'ca4e5008ba9b4f778c8814ca5e116d46'
    -- 16 = 2026-01-02 03:04:05.678901+00:00
    -- 17 = 60
    -- 18 = 0
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?)
    UNION ALL SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] = ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 7
    -- 4 = 8
    -- 5 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 6 = 0
    -- 7 = 1
COMMIT;

-- the same request again
BEGIN;
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[active_at] AS [active_at]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?));
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = '7e57ab1e000040008000000000000001'
SELECT TOP 2 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 8
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 7
    -- 4 = 8
COMMIT;

-- a window that is only read
SELECT TOP 10 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 9223372036854775807
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_conversation].[changes] = ? AND [convstore_conversation].[created_at] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 0
    -- 4 = 2026-01-02 03:04:05.678901+00:00
    -- 5 = 1
    -- 6 = 2

-- a window that is only read, and the pinned first message
SELECT TOP 2 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 7 = 0
    -- 8 = 1
    -- 9 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 10 = 0
    -- 11 = 1
    -- 12 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 13 = 0
    -- 14 = 9223372036854775807
SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_conversation].[changes] = ? AND [convstore_conversation].[created_at] = ? AND [convstore_message].[position] >= ? AND [convstore_message].[position] <= ?)
    UNION ALL SELECT [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], [convstore_message].[body] AS [body]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_conversation].[changes] = ? AND [convstore_conversation].[created_at] = ? AND [convstore_message].[position] = ?);
    -- 1 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 2 = 0
    -- 3 = 0
    -- 4 = 2026-01-02 03:04:05.678901+00:00
    -- 5 = 8
    -- 6 = 8
    -- 7 = 'ca978112ca1b8dcabac231b39a23dc4d'
    -- 8 = 0
    -- 9 = 0
    -- 10 = 2026-01-02 03:04:05.678901+00:00
    -- 11 = 1

-- the window of an unknown conversation
SELECT TOP 10 [convstore_message].[position] AS [position], [convstore_message].[role] AS [role], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[tokens] AS [tokens], (SELECT U0.[role] AS [role]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_role], (SELECT CASE WHEN (U0.[size] > ?) THEN U0.[size] ELSE 3 * LEN(U0.[body]) END AS [bytes]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_bytes], (SELECT U0.[tokens] AS [tokens]
    FROM [convstore_message] U0
    WHERE (U0.[conversation_id] = ? AND U0.[kind] = ? AND U0.[position] = ?)) AS [first_tokens], [convstore_conversation].[created_at] AS [conversation__created_at], [convstore_conversation].[changes] AS [conversation__changes], [convstore_conversation].[memory_id] AS [conversation__memory_id]
    FROM [convstore_message]
    INNER JOIN [convstore_conversation] ON ([convstore_message].[conversation_id] = [convstore_conversation].[id])
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] = ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = 0
    -- 2 = '6382b3cc881482b7bbfcaeed026001c0'
    -- 3 = 0
    -- 4 = 1
    -- 5 = 0
    -- 6 = '6382b3cc881482b7bbfcaeed026001c0'
    -- 7 = 0
    -- 8 = 1
    -- 9 = '6382b3cc881482b7bbfcaeed026001c0'
    -- 10 = 0
    -- 11 = 1
    -- 12 = '6382b3cc881482b7bbfcaeed026001c0'
    -- 13 = 0
    -- 14 = 9223372036854775807
