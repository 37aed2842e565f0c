"""The tables of a memory's database: made, migrated, or only looked at."""

from __future__ import annotations

from django.core import checks
from django.core.management import call_command
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor

from convstore.database.checks import CANNOT_BE_ASKED, server_messages
from convstore.database.connection import open_connection
from convstore.errors import Unavailable
from convstore.standby import APP


class TablesNotReady(Unavailable):
    """The database can be reached, but its tables are not those of this version."""


class UnsafeDatabase(TablesNotReady):
    """The database would lose messages or change them."""


def refuse_unsafe(using: str) -> None:
    """Raise UnsafeDatabase with what `check` says of the database, unless it cannot be asked."""
    errors = [
        message
        for message in server_messages(using)
        if message.level >= checks.ERROR and message.id != CANNOT_BE_ASKED
    ]
    if errors:
        raise UnsafeDatabase(
            " ".join(f"{error.msg} {error.hint or ''}".strip() for error in errors)
        )


def migrate_tables(using: str, *, every_app: bool = False) -> None:
    """Make or migrate the tables of conversations in the database `using`.

    With `every_app`, those of the admin (users, sessions, audit log) as well. One process at a
    time does it; the others wait. Raises TablesNotReady, UnsafeDatabase, and Unavailable if the
    database cannot be reached.
    """
    open_connection(using)
    refuse_unsafe(using)
    apps = () if every_app else (APP,)
    try:
        call_command("migrate", *apps, database=using, interactive=False, verbosity=0)
    except Error as error:
        raise TablesNotReady("the database's tables could not be made") from error


def lacks_migrations(using: str) -> bool:
    """Whether the tables of conversations are not those of this version."""
    executor = MigrationExecutor(connections[using])
    newest = [node for node in executor.loader.graph.leaf_nodes() if node[0] == APP]
    return bool(executor.migration_plan(newest))


def require_tables(using: str) -> None:
    """Raise TablesNotReady unless all migrations were run, and the others as `migrate_tables`."""
    open_connection(using)
    refuse_unsafe(using)
    try:
        lacks_some = lacks_migrations(using)
    except Error as error:
        raise TablesNotReady("the database's migrations could not be read") from error
    if lacks_some:
        raise TablesNotReady(
            "the database's tables are not those of this version, and config.auto_migrate is"
            " false: run 'convstore migrate_memories' with the same MODELS_DIR and DATABASE_URL"
        )
