"""PostgreSQL's function for the window of the last messages, which is what most requests ask for.

It takes no other options, and adds up no sizes: a body is left out if it is larger than
`max_body_bytes`, the equal share of each message in the limit on replies. Where that happened, or
the function cannot serve, the caller calls `convstore_window_v1`, which measures.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import migrations

functions = import_module("convstore.migrations.0005_postgresql_functions")

# As the functions of migration 0005, whose comments hold here, too.
WINDOW = """
CREATE OR REPLACE FUNCTION {schema}.convstore_plain_window_v1(
  for_key uuid, for_id text, wanted bigint, max_body_bytes bigint
) RETURNS TABLE ("position" bigint, "role" text, body text)
LANGUAGE plpgsql STABLE SECURITY INVOKER AS $function$
#variable_conflict use_variable
DECLARE
  settings text;
  first bigint := 0;
  first_role text;
  first_body text;
BEGIN
  IF to_regclass('convstore_message') IS DISTINCT FROM {messages}::regclass THEN
    "role" := 'use the batch';
    RETURN NEXT;
    RETURN;
  END IF;
  settings := ''{keep_plans};
  PERFORM FROM {schema}.convstore_conversation c
    WHERE c.id >= for_key AND c.id <= for_key AND c.memory_id = for_id ORDER BY c.id LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF wanted >= 2 THEN
    SELECT m.position, m.role, {body} INTO first, first_role, first_body
      FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.position <= 1
        AND m.role IN ('system', 'developer') AND m.kind = 0
      ORDER BY m.position LIMIT 1;
    first := coalesce(first, 0);
  END IF;
  RETURN QUERY SELECT m.position, m.role::text, {body} FROM {schema}.convstore_message m
    WHERE m.conversation_id = for_key AND m.position > first AND m.kind = 0
    ORDER BY m.position DESC LIMIT wanted - first;
  IF first = 1 THEN
    "position" := 1;
    "role" := first_role;
    body := first_body;
    RETURN NEXT;
  END IF;
END
$function$"""
BODY = f"CASE WHEN {functions.BYTES} <= max_body_bytes THEN m.body END"

DROP = "DROP FUNCTION IF EXISTS {schema}.convstore_plain_window_v1(uuid, text, bigint, bigint)"


def create(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        functions.execute_if_allowed(schema_editor, [text_for(connection)])


def text_for(connection: Any) -> str:
    """The function for the tables of this database; a later migration makes it, too."""
    names = functions.names_of_tables(connection) | {"body": BODY}
    return WINDOW.format(**names, keep_plans=functions.KEEP_PLANS)


def drop(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        names = functions.names_of_tables(connection)
        schema_editor.execute(DROP.format(**names), params=None)


class Migration(migrations.Migration):
    dependencies = [("convstore", "0006_mariadb_procedures")]

    operations = [migrations.RunPython(create, drop, elidable=False)]
