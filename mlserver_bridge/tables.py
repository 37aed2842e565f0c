"""A memory's tables: made or migrated when MLServer loads it, by one process at a time."""

from __future__ import annotations

from django.core.management import call_command
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor

from convstore.errors import Unavailable
from memory_api.memories import Memory

APP = "convstore"


class NotMade(Unavailable):
    """The database can be reached, and its tables are not those of this version."""


def make(memory: Memory) -> None:
    """Make or migrate the memory's tables; without `auto_migrate` only look at them.

    Raises NotMade, and Unavailable where the database cannot be reached.
    """
    using = memory.store.using
    connection = connections[using]
    try:
        connection.ensure_connection()
    except Error as error:
        raise Unavailable("the database cannot be reached") from error
    try:
        if memory.auto_migrate:
            call_command("migrate", APP, database=using, interactive=False, verbosity=0)
            return
        executor = MigrationExecutor(connection)
        newest = [node for node in executor.loader.graph.leaf_nodes() if node[0] == APP]
        unapplied = executor.migration_plan(newest)
    except Error as error:
        raise NotMade("the database's tables could not be made") from error
    if unapplied:
        raise NotMade(
            "the database's tables are not those of this version, and config.auto_migrate is"
            " false: run 'convstore migrate_memories' with the same MODELS_DIR and"
            " DATABASE_URL"
        )
