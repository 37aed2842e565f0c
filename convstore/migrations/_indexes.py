"""Indexes that are built while others write; Django skips modules whose name begins with `_`.

A migration that builds one has `atomic = False`: PostgreSQL builds concurrently only outside of
a transaction. Each step can be interrupted, and run again.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

from convstore.database.postgresql.indexes import NewIndex, build, creation, drop, removal


def drop_index(schema_editor: Any, index: NewIndex) -> None:
    """Drop an index of PostgreSQL, if it is there."""
    if schema_editor.collect_sql:
        schema_editor.execute(removal(index))
    else:
        drop(schema_editor.connection, index)


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
            index = self._new_index(schema_editor, model)
            if schema_editor.collect_sql:
                schema_editor.execute(creation(index))
            else:
                build(connection, index)
        elif schema_editor.collect_sql or self.index.name not in _names(connection, model):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor == "postgresql":
            drop_index(schema_editor, self._new_index(schema_editor, model))
        else:
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def _new_index(self, schema_editor: Any, model: Any) -> NewIndex:
        create = str(self.index.create_sql(model, schema_editor))
        _, _, definition = create.partition(f' ON "{model._meta.db_table}" ')
        return NewIndex(self.index.name, model._meta.db_table, definition)


def _names(connection: Any, model: Any) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, model._meta.db_table))
