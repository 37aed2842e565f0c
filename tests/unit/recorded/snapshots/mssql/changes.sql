-- a conversation with metadata and an item that has an id
BEGIN;
INSERT INTO [convstore_conversation] ([id], [memory_id], [created_at], [active_at], [erased], [changes], [first_live], [metadata])
    VALUES (?, ?, ?, ?, ?, ?, NULL, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 'a'
    -- 3 = 'a time'
    -- 4 = 'a time'
    -- 5 = 0
    -- 6 = 0
    -- 7 = '{"a": "b"}'
INSERT INTO [convstore_metadatapair] ([digest], [created_at], [conversation])
    VALUES (?, ?, ?);
    -- 1 = '3554d2b8a1e34099853865de8576d146'
    -- 2 = 'a time'
    -- 3 = '7e57ab1e000040008000000000000001'
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '7e57ab1e00004000800000000000000a'
    -- 3 = 0
    -- 4 = 0
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 1
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "hello"}]}'
    -- 5 = '7e57ab1e00004000800000000000000a'
    -- 6 = '215163c13bde4969ae4dd6a4271bef15'
    -- 7 = 'a time'
    -- 8 = 65
    -- 9 = 0
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '3fd30542fe3f41b18bd4a4b2dc0b6fb3'
    -- 3 = 1
    -- 4 = 0
COMMIT;

-- metadata
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT [convstore_itemid].[digest] AS [digest]
    FROM [convstore_itemid]
    WHERE ([convstore_itemid].[conversation] = ? AND [convstore_itemid].[digest] IN (?, ?));
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 'f08d925658365b28b608042ae2102dec'
    -- 3 = '5c0b93b825b95ed88b410da51bf9285c'
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '5c0b93b825b95ed88b410da51bf9285c'
    -- 3 = 0
    -- 4 = 0
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 'f08d925658365b28b608042ae2102dec'
    -- 3 = 0
    -- 4 = 0
INSERT INTO [convstore_metadatapair] ([digest], [created_at], [conversation])
    VALUES (?, ?, ?);
    -- 1 = '3554d2b8a1e34099853865de8576d146'
    -- 2 = 'a time'
    -- 3 = '7e57ab1e000040008000000000000001'
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [changes] = ([convstore_conversation].[changes] + ?), [metadata] = ?
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 1
    -- 2 = '{"a": "b"}'
    -- 3 = '7e57ab1e000040008000000000000001'
COMMIT;

-- an item is erased
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 2
SET NOCOUNT OFF; UPDATE [convstore_message] SET [kind] = ?, [role] = ?, [body] = ?, [fingerprint] = ?, [size] = ?, [tokens] = NULL, [words] = NULL
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = 2
    -- 2 = ''
    -- 3 = '{}'
    -- 4 = '00000000000000000000000000000000'
    -- 5 = 2
    -- 6 = '7e57ab1e000040008000000000000001'
    -- 7 = 2
    -- 8 = 2
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [changes] = ([convstore_conversation].[changes] + ?), [erased] = ([convstore_conversation].[erased] + ?)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 1
    -- 2 = 1
    -- 3 = '7e57ab1e000040008000000000000001'
COMMIT;

-- the newest item is taken back
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT [convstore_itemid].[digest] AS [digest]
    FROM [convstore_itemid]
    WHERE ([convstore_itemid].[conversation] = ? AND [convstore_itemid].[digest] IN (?));
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '7e57ab1e00004000800000000000000a'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ?)
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '7e57ab1e00004000800000000000000a'
    -- 3 = 0
    -- 4 = 0
SELECT [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 3
SET NOCOUNT OFF; UPDATE [convstore_message] SET [kind] = ?, [role] = ?, [body] = ?, [fingerprint] = ?, [size] = ?, [tokens] = NULL, [words] = NULL
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = 2
    -- 2 = ''
    -- 3 = '{}'
    -- 4 = '00000000000000000000000000000000'
    -- 5 = 2
    -- 6 = '7e57ab1e000040008000000000000001'
    -- 7 = 2
    -- 8 = 3
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [changes] = ([convstore_conversation].[changes] + ?), [erased] = ([convstore_conversation].[erased] + ?)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 1
    -- 2 = 1
    -- 3 = '7e57ab1e000040008000000000000001'
COMMIT;

-- the end is written anew
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT [convstore_message].[position] AS [position], [convstore_message].[fingerprint] AS [fingerprint], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[request_key] IN (?));
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '7e57ab1e00004000800000000000000a'
SELECT [convstore_itemid].[digest] AS [digest]
    FROM [convstore_itemid]
    WHERE ([convstore_itemid].[conversation] = ? AND [convstore_itemid].[digest] IN (?, ?));
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '5ee65690cac45cd69976d2b6bbcc154e'
    -- 3 = '7e57ab1e00004000800000000000000a'
SELECT TOP 1 ? AS [a]
    FROM [convstore_itemid]
    WHERE ([convstore_itemid].[conversation] = ? AND [convstore_itemid].[digest] IN (?));
    -- 1 = 1
    -- 2 = '7e57ab1e000040008000000000000001'
    -- 3 = '3fd30542fe3f41b18bd4a4b2dc0b6fb3'
SELECT [convstore_message].[body] AS [body]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 2
SET NOCOUNT OFF; UPDATE [convstore_message] SET [kind] = ?, [role] = ?, [body] = ?, [fingerprint] = ?, [size] = ?, [tokens] = NULL, [words] = NULL
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = 2
    -- 2 = ''
    -- 3 = '{}'
    -- 4 = '00000000000000000000000000000000'
    -- 5 = 2
    -- 6 = '7e57ab1e000040008000000000000001'
    -- 7 = 2
    -- 8 = 2
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [changes] = ([convstore_conversation].[changes] + ?), [erased] = ([convstore_conversation].[erased] + ?)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 1
    -- 2 = 1
    -- 3 = '7e57ab1e000040008000000000000001'
SET NOCOUNT OFF; UPDATE [convstore_message] SET [kind] = ?, [role] = ?, [body] = ?, [fingerprint] = ?, [size] = ?, [tokens] = NULL, [words] = NULL
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] > ?);
    -- 1 = 2
    -- 2 = ''
    -- 3 = '{}'
    -- 4 = '00000000000000000000000000000000'
    -- 5 = 2
    -- 6 = '7e57ab1e000040008000000000000001'
    -- 7 = 2
    -- 8 = 2
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [changes] = ([convstore_conversation].[changes] + ?), [erased] = ([convstore_conversation].[erased] + ?)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 1
    -- 2 = 1
    -- 3 = '7e57ab1e000040008000000000000001'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000001'
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words])
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, NULL);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 4
    -- 3 = 'user'
    -- 4 = '{"role": "user", "content": [{"type": "text", "value": "hello"}]}'
    -- 5 = '7e57ab1e00004000800000000000000a'
    -- 6 = '215163c13bde4969ae4dd6a4271bef15'
    -- 7 = 'a time'
    -- 8 = 65
    -- 9 = 0
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '3fd30542fe3f41b18bd4a4b2dc0b6fb3'
    -- 3 = 4
    -- 4 = 0
COMMIT;

-- a deletion begins
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [memory_id] = ?
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'deleted 7e57ab1e000040008000000000000001'
    -- 2 = '7e57ab1e000040008000000000000001'
COMMIT;

-- a fork: rows
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000002'
SELECT TOP 1 [convstore_message].[position] AS [position]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000002'
SELECT TOP 500 [convstore_message].[position] AS [position], CASE WHEN [convstore_message].[size] > ? THEN [convstore_message].[size] ELSE 3 * LEN([convstore_message].[body]) END AS [bytes], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[position] > ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 ASC;
    -- 1 = 0
    -- 2 = '7e57ab1e000040008000000000000001'
    -- 3 = 1
    -- 4 = 3
INSERT INTO [convstore_message] ([conversation_id], [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words]) SELECT ?, [position], [role], [body], [request_key], [fingerprint], [created_at], [size], [tokens], [kind], [words]
    FROM [convstore_message]
    WHERE [conversation_id] = ? AND [position] > ? AND [position] <= ?;
    -- 1 = '7e57ab1e000040008000000000000002'
    -- 2 = '7e57ab1e000040008000000000000001'
    -- 3 = 1
    -- 4 = 2
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [erased] = ([convstore_conversation].[erased] + ?)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 1
    -- 2 = '7e57ab1e000040008000000000000002'
COMMIT;

-- a fork: ids of items
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000002'
SELECT TOP 1 [convstore_itemid].[digest] AS [digest]
    FROM [convstore_itemid]
    WHERE ([convstore_itemid].[conversation] = ? AND [convstore_itemid].[position] > ?)
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000002'
    -- 2 = 0
SELECT TOP 500 [convstore_itemid].[conversation], [convstore_itemid].[digest], [convstore_itemid].[position], [convstore_itemid].[number]
    FROM [convstore_itemid]
    WHERE [convstore_itemid].[conversation] = ?
    ORDER BY [convstore_itemid].[digest] ASC;
    -- 1 = '7e57ab1e000040008000000000000001'
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000002'
    -- 2 = '7e57ab1e00004000800000000000000a'
    -- 3 = 2
    -- 4 = 0
COMMIT;

-- a fork: it is there
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000002'
SELECT [convstore_conversation].[memory_id] AS [memory_id], [convstore_conversation].[created_at] AS [created_at], [convstore_conversation].[changes] AS [changes]
    FROM [convstore_conversation]
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SET NOCOUNT OFF; UPDATE [convstore_conversation] SET [memory_id] = ?, [created_at] = ?, [active_at] = ?, [metadata] = ?
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = 'b'
    -- 2 = 'a time'
    -- 3 = 'a time'
    -- 4 = '{"forked_from": "a", "forked_at": "3"}'
    -- 5 = '7e57ab1e000040008000000000000002'
INSERT INTO [convstore_metadatapair] ([digest], [created_at], [conversation])
    VALUES (?, ?, ?), (?, ?, ?);
    -- 1 = '4b13ff6e2dab4df89ae0f6ece3d5243f'
    -- 2 = 'a time'
    -- 3 = '7e57ab1e000040008000000000000002'
    -- 4 = '004d8756f0ec4ba3be7758fd388bb749'
    -- 5 = 'a time'
    -- 6 = '7e57ab1e000040008000000000000002'
INSERT INTO [convstore_itemid] ([conversation], [digest], [position], [number])
    VALUES (?, ?, ?, ?);
    -- 1 = '7e57ab1e000040008000000000000002'
    -- 2 = '7e57ab1e00004000800000000000000a'
    -- 3 = 0
    -- 4 = 0
COMMIT;

-- ids that begin so
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT TOP 31 [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE ([convstore_conversation].[memory_id] LIKE ? ESCAPE '\' AND NOT ([convstore_conversation].[id] = ?))
    ORDER BY [convstore_conversation].[memory_id] ASC, [convstore_conversation].[id] ASC;
    -- 1 = 'a[%][_]%'
    -- 2 = '7e57ab1e000040008000000000000001'

-- ids that begin so, the next page
SELECT TOP 31 [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE ([convstore_conversation].[memory_id] LIKE ? ESCAPE '\' AND NOT ([convstore_conversation].[id] = ?) AND [convstore_conversation].[memory_id] >= ? AND ([convstore_conversation].[memory_id] > ? OR [convstore_conversation].[id] > ?))
    ORDER BY [convstore_conversation].[memory_id] ASC, [convstore_conversation].[id] ASC;
    -- 1 = 'a[%][_]%'
    -- 2 = '7e57ab1e000040008000000000000001'
    -- 3 = 'a%_b'
    -- 4 = 'a%_b'
    -- 5 = '7e57ab1e000040008000000000000002'

-- a tenant's newest, the next page
SELECT TOP 30 [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE ([convstore_conversation].[memory_id] LIKE ? ESCAPE '\' AND [convstore_conversation].[created_at] <= ? AND ([convstore_conversation].[created_at] < ? OR [convstore_conversation].[id] < ?))
    ORDER BY [convstore_conversation].[created_at] DESC, [convstore_conversation].[id] DESC;
    -- 1 = 'acme/%'
    -- 2 = 'a time'
    -- 3 = 'a time'
    -- 4 = '7e57ab1e000040008000000000000001'

-- those with a pair of metadata
SELECT TOP 30 [convstore_metadatapair].[conversation] AS [conversation]
    FROM [convstore_metadatapair]
    WHERE ([convstore_metadatapair].[digest] = ? AND [convstore_metadatapair].[created_at] <= ? AND ([convstore_metadatapair].[created_at] < ? OR [convstore_metadatapair].[conversation] < ?))
    ORDER BY [convstore_metadatapair].[created_at] DESC, 1 DESC;
    -- 1 = '3554d2b8a1e34099853865de8576d146'
    -- 2 = 'a time'
    -- 3 = 'a time'
    -- 4 = '7e57ab1e000040008000000000000001'
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE [convstore_conversation].[id] IN (?);
    -- 1 = '7e57ab1e000040008000000000000001'

-- items behind a position
SELECT TOP 21 [convstore_message].[position] AS [position], LEN([convstore_message].[body]) AS [octets]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] > ?)
    ORDER BY 1 ASC;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 2
SELECT [convstore_message].[conversation_id], [convstore_message].[position], [convstore_message].[role], [convstore_message].[body], [convstore_message].[request_key], [convstore_message].[created_at], [convstore_message].[kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] > ? AND [convstore_message].[position] BETWEEN ? AND ?)
    ORDER BY [convstore_message].[position] ASC OFFSET 0 ROWS;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 2
    -- 4 = 3
    -- 5 = 3

-- items before a position
SELECT TOP 21 [convstore_message].[position] AS [position], LEN([convstore_message].[body]) AS [octets]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] < ?)
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 4
SELECT [convstore_message].[conversation_id], [convstore_message].[position], [convstore_message].[role], [convstore_message].[body], [convstore_message].[request_key], [convstore_message].[created_at], [convstore_message].[kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] < ? AND [convstore_message].[position] BETWEEN ? AND ?)
    ORDER BY [convstore_message].[position] DESC OFFSET 0 ROWS;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 4
    -- 4 = 3
    -- 5 = 3

-- the item at a position
SELECT [convstore_message].[conversation_id], [convstore_message].[position], [convstore_message].[role], [convstore_message].[body], [convstore_message].[request_key], [convstore_message].[created_at], [convstore_message].[kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] = ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 3

-- the place of a client's own id
SELECT TOP 1 [convstore_itemid].[position] AS [position], [convstore_itemid].[number] AS [number]
    FROM [convstore_itemid]
    WHERE ([convstore_itemid].[conversation] = ? AND [convstore_itemid].[digest] = ?)
    ORDER BY [convstore_itemid].[conversation] ASC, [convstore_itemid].[digest] ASC;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = '3fd30542fe3f41b18bd4a4b2dc0b6fb3'

-- the item with an id that the server made
SELECT [convstore_message].[conversation_id], [convstore_message].[position], [convstore_message].[role], [convstore_message].[body], [convstore_message].[request_key], [convstore_message].[created_at], [convstore_message].[kind]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[request_key] = ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = '7e57ab1e00004000800000000000000a'
