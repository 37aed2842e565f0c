"""PostgreSQL's second function for the exchange, which also writes what searches read.

Its text is that of the first one (migration 0005), with one more parameter. The first one stays,
for the version of the program before this one. The other functions, and MariaDB's procedures, have
not changed; they are made here if they are missing, as in a dump without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import migrations

first = import_module("convstore.migrations.0005_postgresql_functions")
procedures = import_module("convstore.migrations.0006_mariadb_procedures")
plain_window = import_module("convstore.migrations.0007_postgresql_plain_window")

EXCHANGE = (
    first.EXCHANGE.replace("convstore_exchange_v1(", "convstore_exchange_v2(")
    .replace("kinds smallint[]", "kinds smallint[], words text[]")
    .replace("size, tokens, kind)", "size, tokens, kind, words)")
    .replace("coalesce(kinds[n], 0))", "coalesce(kinds[n], 0), words[n])")
)

DROP = """
DROP FUNCTION IF EXISTS {schema}.convstore_exchange_v2(
  uuid, text, timestamptz, integer, jsonb, uuid,
  text[], text[], uuid[], integer[], integer[], smallint[], text[])"""


def create(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        texts = first.texts_for(connection, EXCHANGE, first.WINDOW)
        first.execute_if_allowed(schema_editor, [*texts, plain_window.text_for(connection)])


def drop(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        names = first.names_of_tables(connection)
        schema_editor.execute(DROP.format(**names), params=None)


class Migration(migrations.Migration):
    # Behind the column, so that all of them can be made anew without dropping it.
    dependencies = [("convstore", "0008_words_of_messages")]

    operations = [
        migrations.RunPython(create, drop, elidable=False),
        migrations.RunPython(procedures.create, procedures.drop, atomic=False, elidable=False),
    ]
