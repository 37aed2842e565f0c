"""Indexes that are built and dropped while others write, on partitioned tables, too.

PostgreSQL does it concurrently only outside of a transaction. Each step here can be interrupted,
and run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.brief_locks import try_until_locked
from convstore.database.fault import BUSY
from convstore.database.postgresql.faults import FAULTS, error_code
from convstore.database.server import fetch_row

VALID = "(SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s))"
# Each partition's index is named after its table, whatever that is called.
PARTITIONS = """
SELECT c.relkind = 'p', quote_ident(left(%s, 40) || '_' || t.relid::oid), t.relid::text
FROM pg_class c LEFT JOIN pg_partition_tree(c.oid) t ON t.isleaf AND t.level > 0
WHERE c.oid = to_regclass(%s)"""
IS_BEING_BUILT = """
SELECT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p
  WHERE p.datname = current_database()
    AND p.index_relid IN (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name))"""


class NewIndex(NamedTuple):
    """An index; `definition` is what follows the table's name in CREATE INDEX."""

    name: str
    table: str
    definition: str


def build(connection: BaseDatabaseWrapper, index: NewIndex) -> None:
    """Build the index, unless it is there. One that an interrupted build left is built anew."""
    partitions = _on_partitions(connection, index)
    if partitions is None:
        _build_concurrently(connection, index)
        return
    # PostgreSQL cannot build an index of a partitioned table concurrently, but those of its
    # partitions; the index of the table is valid when all of them are attached to it.
    if is_valid(connection, index):
        return
    for part in partitions:
        _build_concurrently(connection, part)
    statements = [
        creation(index._replace(table=f"ONLY {index.table}"), "IF NOT EXISTS "),
        *(f"ALTER INDEX {index.name} ATTACH PARTITION {part.name}" for part in partitions),
    ]
    for statement in statements:
        _execute_briefly(connection, statement)


def drop(connection: BaseDatabaseWrapper, index: NewIndex) -> None:
    """Drop the index if it is there, or what an interrupted build has left of it."""
    partitions = _on_partitions(connection, index)
    if partitions is not None:
        _execute_briefly(connection, f"DROP INDEX IF EXISTS {index.name}")
    for each in [index] if partitions is None else partitions:
        _execute(connection, removal(each))


def creation(index: NewIndex, how: str = "CONCURRENTLY ") -> str:
    return f"CREATE INDEX {how}{index.name} ON {index.table} {index.definition}"


def removal(index: NewIndex) -> str:
    return f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}"


def is_valid(connection: BaseDatabaseWrapper, index: NewIndex) -> bool | None:
    """Whether the index is complete; None if there is none."""
    valid: bool | None = fetch_row(connection, f"SELECT {VALID}", [index.name])[0]
    return valid


def is_begun(connection: BaseDatabaseWrapper, index: NewIndex) -> bool:
    """Whether there is anything of the index: of its table, or of a partition."""
    each = [index, *(_on_partitions(connection, index) or ())]
    return any(is_valid(connection, one) is not None for one in each)


def is_being_built(connection: BaseDatabaseWrapper, index: NewIndex) -> bool:
    names = [each.name for each in (index, *(_on_partitions(connection, index) or ()))]
    return bool(fetch_row(connection, IS_BEING_BUILT, [names])[0])


def change_briefly(connection: BaseDatabaseWrapper, change: Callable[[], object]) -> None:
    """Run a change of a table that locks it for a moment, until it gets its lock.

    It is to be one statement, outside of a transaction.
    """
    try_until_locked(change, partial(_limit_of_transaction, connection), _is_busy)


def _build_concurrently(connection: BaseDatabaseWrapper, index: NewIndex) -> None:
    valid = is_valid(connection, index)
    if valid is False:
        _execute(connection, removal(index))
    if not valid:
        _execute(connection, creation(index))


def _on_partitions(connection: BaseDatabaseWrapper, index: NewIndex) -> list[NewIndex] | None:
    """The same index of each partition; None if the table is not partitioned."""
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS, [index.name, index.table])
        rows = cursor.fetchall()
    if not any(is_partitioned for is_partitioned, *_ in rows):
        return None
    return [index._replace(name=name, table=table) for _, name, table in rows if table]


@contextmanager
def _limit_of_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    # A pooler may give what comes after the transaction to another session.
    with transaction.atomic(connection.alias):
        _execute(connection, "SET LOCAL lock_timeout = '200ms'")
        yield


def _is_busy(error: OperationalError) -> bool:
    return FAULTS.get(error_code(error.__cause__) or "") == BUSY


def _execute_briefly(connection: BaseDatabaseWrapper, statement: str) -> None:
    change_briefly(connection, partial(_execute, connection, statement))


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
