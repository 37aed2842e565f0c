-- a page of the list
SELECT TOP 51 [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata], (SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 DESC) AS [length], COALESCE(((((SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 DESC) - (SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 ASC)) + ?) - [convstore_conversation].[erased]), ?) AS [message_count], (SELECT TOP 1 U0.[created_at] AS [created_at]
    FROM [convstore_message] U0
    WHERE (U0.[kind] < ? AND U0.[conversation_id] = ([convstore_conversation].[id]))
    ORDER BY U0.[position] DESC) AS [last_message_at], (SELECT TOP 1 SUBSTRING(U0.[body], ?, ?) AS [beginning]
    FROM [convstore_message] U0
    WHERE (U0.[kind] = ? AND U0.[conversation_id] = ([convstore_conversation].[id]) AND U0.[position] <= ?)
    ORDER BY CASE WHEN (U0.[position] = ? AND U0.[role] IN (?, ?)) THEN ? ELSE U0.[position] END ASC) AS [opening], (SELECT TOP 1 SUBSTRING(U0.[body], ?, ?) AS [beginning]
    FROM [convstore_message] U0
    WHERE (U0.[kind] < ? AND U0.[conversation_id] = ([convstore_conversation].[id]))
    ORDER BY U0.[position] DESC) AS [closing]
    FROM [convstore_conversation]
    WHERE ([convstore_conversation].[created_at] <= ? AND ([convstore_conversation].[created_at] < ? OR [convstore_conversation].[id] < ?))
    ORDER BY [convstore_conversation].[created_at] DESC, [convstore_conversation].[id] DESC;
    -- 1 = 1
    -- 2 = 0
    -- 3 = 2
    -- 4 = 1
    -- 5 = 600
    -- 6 = 0
    -- 7 = 2
    -- 8 = 1
    -- 9 = 'system'
    -- 10 = 'developer'
    -- 11 = 3
    -- 12 = 1
    -- 13 = 600
    -- 14 = 2
    -- 15 = 2026-01-02 03:04:05.678901+00:00
    -- 16 = 2026-01-02 03:04:05.678901+00:00
    -- 17 = '7e57ab1e000040008000000000000001'

-- ids that begin so
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE [convstore_conversation].[memory_id] LIKE ? ESCAPE '\';
    -- 1 = 'a[%][_]%'

-- what a deletion would delete
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata], (SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 DESC) AS [length], COALESCE(((((SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 DESC) - (SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 ASC)) + ?) - [convstore_conversation].[erased]), ?) AS [message_count]
    FROM [convstore_conversation];
    -- 1 = 1
    -- 2 = 0

-- a chunk of a transcript
SELECT TOP 50 [convstore_message].[position] AS [position], LEN([convstore_message].[body]) AS [octets]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 9
SELECT [convstore_message].[conversation_id], [convstore_message].[position], [convstore_message].[role], [convstore_message].[body], [convstore_message].[created_at]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] BETWEEN ? AND ?)
    ORDER BY [convstore_message].[position] ASC OFFSET 0 ROWS;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 9
    -- 4 = 9

-- a time
SELECT [convstore_message].[position] AS [position], [convstore_message].[created_at] AS [created_at]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[position] IN (?, ?, ?, ?, ?, ?, ?, ?, ?));
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 1
    -- 3 = 2
    -- 4 = 3
    -- 5 = 4
    -- 6 = 5
    -- 7 = 6
    -- 8 = 7
    -- 9 = 8
    -- 10 = 9

-- a chunk to search
SELECT TOP 1000 [convstore_message].[position] AS [position], LEN([convstore_message].[body]) AS [octets]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[kind] < ? AND [convstore_message].[position] <= ?)
    ORDER BY 1 DESC;
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
    -- 3 = 8

-- the last messages to search
SELECT TOP 51 [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata], (SELECT TOP 1 U0.[position] AS [position]
    FROM [convstore_message] U0
    WHERE U0.[conversation_id] = ([convstore_conversation].[id])
    ORDER BY 1 DESC) AS [length]
    FROM [convstore_conversation]
    ORDER BY [convstore_conversation].[active_at] DESC, [convstore_conversation].[id] DESC;
SELECT TOP 1000 [convstore_message].[conversation_id], [convstore_message].[position], [convstore_message].[role], [convstore_message].[created_at], [convstore_message].[words], CASE WHEN [convstore_message].[words] IS NULL THEN SUBSTRING([convstore_message].[body], ?, ?) ELSE NULL END AS [beginning]
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[position] > ? AND [convstore_message].[kind] < ?);
    -- 1 = 1
    -- 2 = 16384
    -- 3 = '7e57ab1e000040008000000000000001'
    -- 4 = -97
    -- 5 = 2

-- a deletion
BEGIN;
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation] WITH (ROWLOCK, UPDLOCK)
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT TOP 501 [convstore_message].[position] AS [position], [convstore_message].[kind] AS [kind]
    FROM [convstore_message]
    WHERE [convstore_message].[conversation_id] = ?
    ORDER BY 1 ASC;
    -- 1 = '7e57ab1e000040008000000000000001'
SET NOCOUNT OFF; DELETE
    FROM [convstore_message]
    WHERE ([convstore_message].[conversation_id] = ? AND [convstore_message].[position] <= ?);
    -- 1 = '7e57ab1e000040008000000000000001'
    -- 2 = 2
SELECT TOP 500 [convstore_itemid].[digest] AS [digest]
    FROM [convstore_itemid]
    WHERE [convstore_itemid].[conversation] = ?
    ORDER BY 1 ASC;
    -- 1 = '7e57ab1e000040008000000000000001'
SELECT [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata]
    FROM [convstore_conversation]
    WHERE [convstore_conversation].[id] = ?;
    -- 1 = '7e57ab1e000040008000000000000001'
COMMIT;

-- counts of rows
SELECT TOP 5 [convstore_conversation].[id], [convstore_conversation].[memory_id], [convstore_conversation].[created_at], [convstore_conversation].[active_at], [convstore_conversation].[erased], [convstore_conversation].[changes], [convstore_conversation].[first_live], [convstore_conversation].[metadata], (SELECT SUM(term)
    FROM (SELECT TOP 10001 ? AS [term]
    FROM [convstore_conversation] U0) bounded) AS [rows], (SELECT SUM(term)
    FROM (SELECT TOP 10001 ? AS [term]
    FROM [convstore_message] U0) bounded) AS [message_rows], (SELECT SUM(term)
    FROM (SELECT TOP 10001 U0.[erased] AS [term]
    FROM [convstore_conversation] U0) bounded) AS [erased_rows], (SELECT SUM(term)
    FROM (SELECT TOP 2001 ? AS [term]
    FROM [convstore_conversation] U0
    WHERE U0.[created_at] >= ?
    ORDER BY U0.[created_at] DESC, U0.[id] DESC) bounded) AS [new_rows]
    FROM [convstore_conversation]
    ORDER BY [convstore_conversation].[active_at] DESC, [convstore_conversation].[id] DESC;
    -- 1 = 1
    -- 2 = 1
    -- 3 = 1
    -- 4 = 2026-01-02 03:04:05.678901+00:00

-- figures of its own
SELECT OBJECT_NAME(object_id), SUM(rows)
    FROM sys.partitions
    WHERE index_id < 2 AND object_id IN (OBJECT_ID('convstore_conversation'), OBJECT_ID('convstore_message')) GROUP BY object_id
    UNION ALL SELECT 'bytes', SUM(CAST(size AS BIGINT)) * 8192
    FROM sys.database_files;
