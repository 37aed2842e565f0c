"""What is asked of an Oracle server, and of the settings that reach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from django.core.checks import CheckMessage
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

SIZE = "SELECT 'bytes', SUM(bytes) FROM user_segments"
ROW_ESTIMATES = (
    "SELECT LOWER(table_name), num_rows FROM user_tables WHERE LOWER(table_name) IN ('{0}', '{1}')"
)


def check_settings(entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """Nothing: Oracle's default level, READ COMMITTED, is the only one that Django uses."""
    return iter(())


def check_server(
    connection: BaseDatabaseWrapper, tables: tuple[str, ...]
) -> Iterator[CheckMessage]:
    """Nothing: no setting of the server makes Oracle lose a commit."""
    return iter(())


def close_for_good(connection: BaseDatabaseWrapper) -> None:
    """Drop it from its pool, if it has one."""
    wrapper: Any = connection
    if wrapper.pool and wrapper.connection is not None:
        driver, wrapper.connection = wrapper.connection, None
        wrapper.pool.drop(driver)
    connection.close()


def try_migration_lock(holder: BaseDatabaseWrapper) -> bool:
    """Lock a table of our own: Oracle's named locks need a privilege that few users have."""
    with holder.cursor() as cursor:
        with suppress(DatabaseError):  # the table exists
            cursor.execute("CREATE TABLE convstore_migrating (nothing NUMBER)")
        try:
            cursor.execute("LOCK TABLE convstore_migrating IN EXCLUSIVE MODE NOWAIT")
        except DatabaseError as error:
            if "ORA-00054" not in str(error):
                raise
            return False
    return True
