"""Operations that Django lacks; it skips modules whose name begins with an underscore."""

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
