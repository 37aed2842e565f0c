"""Operations that may be run again; Django skips modules whose name begins with `_`."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import NOT_PROVIDED

from convstore.migrations._locks import change_briefly


class AddColumn(migrations.AddField):
    """AddField for a column that is nullable or has a constant default; writes no row anew.

    The column keeps its default in the database, for the version that does not know the column
    and writes beside this one. The field has no db_default, with which Django would read the
    value back after each INSERT. On SQLite, Django would copy the whole table.

    A column that is there already is left alone, so that a migration that was interrupted
    between two columns can be run again.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        field = copy(model._meta.get_field(self.name))
        field.db_default = NOT_PROVIDED if field.null else field.default
        if schema_editor.collect_sql:
            _add(schema_editor, model, field)
        elif field.column not in _columns(schema_editor, model):
            change_briefly(schema_editor.connection, partial(_add, schema_editor, model, field))


class WidenColumn(migrations.AlterField):
    """AlterField for a text that may become longer; writes no row and no index anew.

    SQLite keeps no lengths, and Django would copy the whole table. SQL Server's backend would build
    the indexes anew. Backwards, the column stays as it is: it may hold longer texts by now, and the
    version before can use it.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = to_state.apps.get_model(app_label, self.model_name)
        if connection.vendor == "sqlite" or not self.allow_migrate_model(connection.alias, model):
            return
        old = from_state.apps.get_model(app_label, self.model_name)._meta.get_field(self.name)
        new = model._meta.get_field(self.name)
        change = partial(schema_editor.alter_field, model, old, new)
        if connection.vendor == "microsoft":
            change = partial(schema_editor.execute, _widen_statement(schema_editor, new))
        if schema_editor.collect_sql:
            change()
        else:
            change_briefly(connection, change)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        pass


class CreateTable(migrations.CreateModel):
    """CreateModel that may be run again where each statement is committed by itself.

    Of a table that is there already, only the indexes and foreign keys that it lacks are made.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = to_state.apps.get_model(app_label, self.name)
        tables = [] if schema_editor.collect_sql else connection.introspection.table_names()
        if model._meta.db_table not in tables:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(connection.alias, model):
            _complete(schema_editor, model)


def _complete(schema_editor: Any, model: Any) -> None:
    """Have the schema editor execute, at its end, what follows the creation of a table."""
    connection, deferred = schema_editor.connection, schema_editor.deferred_sql
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
    before = len(deferred)
    schema_editor.table_sql(model)  # defers the foreign keys
    deferred += schema_editor._model_indexes_sql(model)
    names = {schema_editor.quote_name(name) for name in found}
    deferred[before:] = [each for each in deferred[before:] if str(each.parts["name"]) not in names]


def _widen_statement(schema_editor: Any, field: Any) -> str:
    table, column = map(schema_editor.quote_name, (field.model._meta.db_table, field.column))
    kind = field.db_type(schema_editor.connection)
    return f"ALTER TABLE {table} ALTER COLUMN {column} {kind} NOT NULL"


def _add(schema_editor: Any, model: Any, field: Any) -> None:
    if schema_editor.connection.vendor == "sqlite":
        BaseDatabaseSchemaEditor.add_field(schema_editor, model, field)
    else:
        schema_editor.add_field(model, field)


def _columns(schema_editor: Any, model: Any) -> list[str]:
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_description(cursor, model._meta.db_table)
    return [column.name for column in found]
