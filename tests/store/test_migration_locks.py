"""No migration keeps appends out for as long as a table is large.

test_appends_during_migrations.py finds a statement that waits for its lock. This finds one that
gets its lock at once, and then reads the table or writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.db.migrations.executor import MigrationExecutor

from convstore.database.url import database_alias
from convstore.migrations._locks import change_briefly
from testing.processes import ROOT
from tests.store.own_database import execute
from tests.store.test_migrations import write_as_before

NAMES = sorted(path.stem for path in (ROOT / "convstore" / "migrations").glob("0*.py"))
# What the two tables hold: each file, and how many rows this transaction read by scans of a table.
SEEN = """
SELECT relid::regclass::text, pg_relation_filenode(relid), seq_tup_read
FROM pg_stat_xact_user_tables
WHERE relname IN ('convstore_conversation', 'convstore_message') ORDER BY relid"""
# Stronger than SHARE UPDATE EXCLUSIVE, which lets others write.
STRONG_LOCKS = """
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()
  AND relation IN ('convstore_conversation'::regclass, 'convstore_message'::regclass)
  AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"""


def migrate(alias: str, name: str) -> None:
    MigrationExecutor(connections[alias]).migrate([("convstore", name)])


@pytest.fixture
def alias(new_database, kind) -> Iterator[str]:
    """A database as the oldest version uses it, with a message."""
    alias = database_alias(new_database(kind))
    migrate(alias, NAMES[0])
    write_as_before(connections[alias], "a", 1)
    yield alias
    connections[alias].close()


def needs(kind: str) -> Any:
    return pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.needs(kind))])


# --- PostgreSQL --------------------------------------------------------------------------


@contextmanager
def locks_are_short(alias: str) -> Iterator[list[str]]:
    """Note each statement that reads or rewrites a table while it has a strong lock of one."""
    found: list[str] = []

    def look(run: Any, sql: str, *rest: Any) -> Any:
        # Concurrently, in a transaction of its own, it takes a weak lock.
        if "CONCURRENTLY" in sql or "SAVEPOINT" in sql:
            return run(sql, *rest)
        with transaction.atomic(alias):
            driver = connections[alias].connection
            before = driver.execute(SEEN).fetchall()
            result = run(sql, *rest)
            (locks,) = driver.execute(STRONG_LOCKS).fetchone()
            if locks and driver.execute(SEEN).fetchall() != before:
                found.append(sql)
            return result

    with connections[alias].execute_wrapper(look):
        yield found


@needs("postgresql")
def test_no_migration_reads_or_rewrites_a_table_under_a_strong_lock(alias):
    """If this fails for a new migration: build indexes by `_indexes.py`, and add constraints
    NOT VALID, to validate them by a statement of its own."""
    with locks_are_short(alias) as found:
        migrate(alias, NAMES[-1])
    assert found == []


@needs("postgresql")
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX by_role ON convstore_message (role)",
        "ALTER TABLE convstore_message ALTER COLUMN role TYPE varchar(5)",
        "ALTER TABLE convstore_message ALTER COLUMN position TYPE integer",
        "ALTER TABLE convstore_message ADD CONSTRAINT said CHECK (role <> '')",
        "ALTER TABLE convstore_message ADD COLUMN at timestamptz DEFAULT clock_timestamp()",
        "ALTER TABLE convstore_conversation ALTER COLUMN memory_id SET NOT NULL,"
        " ADD UNIQUE (memory_id)",
    ],
)
def test_a_statement_that_does_is_found_though_its_lock_was_free(alias, statement):
    with locks_are_short(alias) as found:
        change_briefly(connections[alias], lambda: execute(alias, statement))
    assert found == [statement]


# --- MariaDB -----------------------------------------------------------------------------

REWRITE = "ALTER TABLE convstore_message MODIFY position INT"


@needs("mariadb")
def test_no_migration_makes_mariadb_write_a_table_anew(alias):
    execute(alias, "SET SESSION alter_algorithm = 'NOCOPY'")
    with pytest.raises(OperationalError, match="ALGORITHM=NOCOPY is not supported"):
        execute(alias, REWRITE)
    migrate(alias, NAMES[-1])
    assert execute(alias, "SELECT @@alter_algorithm") == (("NOCOPY",),)
