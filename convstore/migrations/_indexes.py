"""Indexes that are built while others write; Django skips modules whose name begins with `_`.

A migration that builds one has `atomic = False`: PostgreSQL builds concurrently only outside of
a transaction. Each step here can be interrupted, and run again.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from django.db import migrations

from convstore.migrations._locks import change_briefly


class NewIndex(NamedTuple):
    """An index of PostgreSQL; `definition` is what follows the table's name in CREATE INDEX."""

    name: str
    table: str
    definition: str


def build(schema_editor: Any, index: NewIndex) -> None:
    """Build the index, unless it is there. One that an interrupted build left is built anew."""
    if schema_editor.collect_sql:
        schema_editor.execute(_create(index, "CONCURRENTLY "))
        return
    partitions = _partitions(schema_editor.connection, index)
    if partitions is None:
        _build_concurrently(schema_editor, index)
        return
    # PostgreSQL cannot build an index of a partitioned table concurrently, but those of its
    # partitions; the index of the table is valid when all of them are attached to it.
    if _is_valid(schema_editor.connection, index.name):
        return
    for part in partitions:
        _build_concurrently(schema_editor, part)
    statements = [
        _create(index._replace(table=f"ONLY {index.table}"), "IF NOT EXISTS "),
        *(f"ALTER INDEX {index.name} ATTACH PARTITION {part.name}" for part in partitions),
    ]
    for statement in statements:
        change_briefly(schema_editor.connection, partial(schema_editor.execute, statement))


def drop(schema_editor: Any, index: NewIndex) -> None:
    if schema_editor.collect_sql or _partitions(schema_editor.connection, index) is None:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
        return
    statement = f"DROP INDEX IF EXISTS {index.name}"
    change_briefly(schema_editor.connection, partial(schema_editor.execute, statement))


def _build_concurrently(schema_editor: Any, index: NewIndex) -> None:
    valid = _is_valid(schema_editor.connection, index.name)
    if valid is False:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY {index.name}")
    if not valid:
        schema_editor.execute(_create(index, "CONCURRENTLY "))


def _create(index: NewIndex, how: str) -> str:
    return f"CREATE INDEX {how}{index.name} ON {index.table} {index.definition}"


def _is_valid(connection: Any, name: str) -> bool | None:
    """Whether the index is complete; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        found = cursor.fetchone()
    return found and bool(found[0])


def _partitions(connection: Any, index: NewIndex) -> list[NewIndex] | None:
    """The same index of each partition; None if the table is not partitioned."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relkind, quote_ident(left(%s, 40) || '_' || t.relid::oid), t.relid::text"
            " FROM pg_class c LEFT JOIN pg_partition_tree(c.oid) t ON t.isleaf AND t.level > 0"
            " WHERE c.oid = to_regclass(%s)",
            [index.name, index.table],
        )
        rows = cursor.fetchall()
    if not any(kind == "p" for kind, *_ in rows):
        return None
    return [index._replace(name=name, table=table) for _, name, table in rows if table]


class AddIndex(migrations.AddIndex):
    """Django's AddIndex, concurrent on PostgreSQL. Everywhere, it may be run again."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(connection.alias, model):
            return
        if connection.vendor == "postgresql":
            build(schema_editor, self._new_index(schema_editor, model))
        elif schema_editor.collect_sql or self.index.name not in _names(connection, model):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor == "postgresql":
            drop(schema_editor, self._new_index(schema_editor, model))
        else:
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def _new_index(self, schema_editor: Any, model: Any) -> NewIndex:
        create = str(self.index.create_sql(model, schema_editor))
        _, _, definition = create.partition(f' ON "{model._meta.db_table}" ')
        return NewIndex(self.index.name, model._meta.db_table, definition)


def _names(connection: Any, model: Any) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, model._meta.db_table))
