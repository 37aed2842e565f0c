"""What is asked of an SQL Server, and of the settings that reach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.server import fetch_row, isolation_errors

SIZE = "SELECT 'bytes', SUM(CAST(size AS BIGINT)) * 8192 FROM sys.database_files"
ROW_ESTIMATES = (
    "SELECT OBJECT_NAME(object_id), SUM(rows) FROM sys.partitions WHERE index_id < 2"
    " AND object_id IN (OBJECT_ID('{0}'), OBJECT_ID('{1}')) GROUP BY object_id"
)


def check_settings(entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    yield from isolation_errors(entry["OPTIONS"].get("isolation_level"))


def check_server(
    connection: BaseDatabaseWrapper, tables: tuple[str, ...]
) -> Iterator[CheckMessage]:
    (snapshots,) = fetch_row(
        connection,
        "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = DB_NAME()",
    )
    if not snapshots:
        yield checks.Warning(
            "readers wait for writers.",
            hint="ALTER DATABASE ... SET READ_COMMITTED_SNAPSHOT ON",
            id="convstore.W008",
        )


def try_migration_lock(holder: BaseDatabaseWrapper) -> bool:
    (result,) = fetch_row(
        holder,
        "SET NOCOUNT ON; DECLARE @taken int; EXEC @taken = sp_getapplock"
        " @Resource = 'convstore migrations', @LockMode = 'Exclusive',"
        " @LockOwner = 'Transaction', @LockTimeout = 0; SELECT @taken",
    )
    return isinstance(result, int) and result >= 0
