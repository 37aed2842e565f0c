"""Appends go on during every migration, however large the tables are.

While a transaction that appends is open, a migration that takes a strong lock has to wait for
it, and whoever comes later waits behind the migration. So the size of a table, on which the
length of such a lock depends, need not be tested.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count, pairwise
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.migrations.recorder import MigrationRecorder

from convstore.database.url import database_alias
from testing.processes import ROOT
from tests.length import sampled
from tests.machine import DATABASES
from tests.store.test_migrations import migrate, write_as_before

KINDS = [kind for kind in DATABASES if kind in ("postgresql", "mariadb")]
NAMES = sorted(path.stem for path in (ROOT / "convstore" / "migrations").glob("0*.py"))
# A migration has begun by then, has given up waiting for its lock, and tries again.
SECONDS = 2.5
APPENDS = 20
# Only with a strong lock in the way does an append wait for so long.
PATIENCE_OF = {
    "postgresql": "SET lock_timeout = '{0}s'",
    "mysql": "SET SESSION lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0}",
}
PATIENCE, IMPATIENCE = 10, 1


@pytest.fixture
def alias(new_database, kind) -> Iterator[str]:
    """A database with the tables of the first migration."""
    alias = database_alias(new_database(kind))
    migrate(alias, NAMES[0])
    yield alias
    connections[alias].close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_appends_go_on_during_each_migration(alias, subtests):
    """If this fails for a new migration: build indexes by `_indexes.py`, and change tables by
    `_locks.py`."""
    applied = MigrationRecorder(connections[alias]).applied_migrations
    *older, newest = pairwise(NAMES)
    for before, name in [*sampled(older, one_in=4), newest]:
        with subtests.test(name):
            migrate(alias, before)
            assert ("convstore", name) not in applied()
            append_during(partial(migrate_and_close, alias, name), alias, PATIENCE)
            assert ("convstore", name) in applied()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_that_waits_for_its_lock_in_front_of_others_is_found(alias):
    def lock() -> None:
        with closing(connections[alias]), connections[alias].cursor() as cursor:
            cursor.execute("ALTER TABLE convstore_message ADD COLUMN note INT")

    with pytest.raises(OperationalError):
        append_during(lock, alias, IMPATIENCE)


def migrate_and_close(alias: str, name: str) -> None:
    with closing(connections[alias]):
        migrate(alias, name)


def append_during(migration: Callable[[], None], alias: str, patience: int) -> None:
    """Append while a migration runs in another thread, for a while beside an open transaction.

    Raises OperationalError if an append waits for `patience` seconds.
    """
    holder, writer = connections[alias].copy(), connections[alias].copy()
    with closing(holder), closing(writer), ThreadPoolExecutor() as threads:
        with writer.cursor() as cursor:
            cursor.execute(PATIENCE_OF[writer.vendor].format(patience))
        holder.set_autocommit(False)
        write_as_before(holder, "held", 1)
        done = threads.submit(migration)
        try:
            append_for_a_while(writer)
        finally:
            holder.rollback()
        done.result()


def append_for_a_while(writer: Any) -> None:
    memory_id, until = str(uuid.uuid4()), time.monotonic() + SECONDS
    for position in count(1):
        write_as_before(writer, memory_id, position)
        time.sleep(0.02)
        if position >= APPENDS and time.monotonic() > until:
            return


# --- Interrupted builds, and partitions --------------------------------------------------

PARTITIONED = """
ALTER TABLE convstore_conversation RENAME TO old;
CREATE TABLE convstore_conversation (LIKE old INCLUDING ALL) PARTITION BY HASH (id);
DROP TABLE old CASCADE;
CREATE TABLE part_0 PARTITION OF convstore_conversation FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE "Part 1" PARTITION OF convstore_conversation
  FOR VALUES WITH (MODULUS 2, REMAINDER 1);"""
VALID = """
SELECT i.indrelid::regclass::text, i.indisvalid FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE %s ORDER BY 1"""
only_postgresql = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind == "postgresql"])


def found(alias: str, name: str) -> list[tuple[str, bool]]:
    """The tables of the indexes of that name, and whether they are complete."""
    with connections[alias].cursor() as cursor:
        cursor.execute(VALID, [f"{name}%"])
        return list(cursor.fetchall())


@only_postgresql
def test_an_index_whose_build_was_interrupted_is_built_anew(alias):
    name, index, table = NAMES[1], "conversation_memory_id", "convstore_conversation"
    holder = connections[alias].copy()
    with closing(holder), connections[alias].cursor() as cursor:
        holder.set_autocommit(False)
        write_as_before(holder, "held", 1)
        cursor.execute("SET statement_timeout = '200ms'")
        with pytest.raises(OperationalError):
            cursor.execute(f"CREATE INDEX CONCURRENTLY {index} ON {table} (memory_id)")
        cursor.execute("RESET statement_timeout")
        holder.rollback()
    assert found(alias, index) == [(table, False)]

    for _ in range(2):  # also where it was built, and that was not recorded
        migrate(alias, name)
        assert found(alias, index) == [(table, True)]
        MigrationRecorder(connections[alias]).record_unapplied("convstore", name)


@only_postgresql
def test_an_index_of_a_partitioned_table_is_built_on_each_partition(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute(PARTITIONED)
    for _ in range(2):
        migrate(alias, NAMES[1])
        expected = [('"Part 1"', True), ("convstore_conversation", True), ("part_0", True)]
        assert found(alias, "conversation_memory_id") == expected
        MigrationRecorder(connections[alias]).record_unapplied("convstore", NAMES[1])
    MigrationRecorder(connections[alias]).record_applied("convstore", NAMES[1])
    migrate(alias, NAMES[0])
    assert found(alias, "conversation_memory_id") == []
