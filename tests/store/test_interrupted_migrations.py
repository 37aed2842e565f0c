"""A migration that was interrupted, before any of its statements, is run again and succeeds."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.transaction import TransactionManagementError

from convstore.database.url import database_alias
from testing.processes import ROOT
from tests.machine import DATABASES

KINDS = [kind for kind in DATABASES if kind in ("sqlite", "postgresql", "mariadb")]
NAMES = sorted(path.stem for path in (ROOT / "convstore" / "migrations").glob("0*.py"))
CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")
STEPS = [(None, NAMES[0]), *pairwise(NAMES)]


class Interrupted(Exception):
    pass


def migrate(alias: str, name: str | None) -> None:
    MigrationExecutor(connections[alias]).migrate([("convstore", name)])


def interrupt(alias: str, name: str, number: int) -> bool:
    """Migrate, but stop before the change of that number; whether there are so many."""
    numbers = count()

    def stop(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.lstrip().startswith(CHANGES) and next(numbers) == number:
            raise Interrupted
        return execute(sql, *rest)

    with connections[alias].execute_wrapper(stop):
        try:
            migrate(alias, name)
        except (Interrupted, TransactionManagementError):  # SQLite's editor asks once more
            end_connection(alias)
            return True
    return False


def end_connection(alias: str) -> None:
    """End it as the end of its process would, with what it has not committed."""
    connections[alias].connection.close()
    del connections[alias]


def described(alias: str) -> dict[str, Any]:
    """Every table, its columns and its keys."""
    introspection = connections[alias].introspection
    with connections[alias].cursor() as cursor:
        return {
            table: (
                introspection.get_table_description(cursor, table),
                introspection.get_constraints(cursor, table),
            )
            for table in sorted(introspection.table_names(cursor))
        }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_that_was_interrupted_at_any_statement_is_run_again(new_database, kind):
    alias = database_alias(new_database(kind))
    for before, name in STEPS:
        migrate(alias, name)
        expected = described(alias)
        for number in count():
            migrate(alias, before)
            if not interrupt(alias, name, number):
                break
            migrate(alias, name)
            assert described(alias) == expected, f"{name}, interrupted before change {number}"
        assert number, f"{name} was never interrupted"
    connections[alias].close()
