"""PostgreSQL's functions for the exchange and the window: one call, whose plans are kept.

They stand in the tables' schema and name it, so that they never touch the tables of another.
Where the user may not create functions, exchanges go on as a batch of statements.

A released function stays as it is. A later version of the program gets functions of another
name, since both versions serve the database while the later one is rolled out.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error, migrations, transaction

from convstore.database.postgresql.faults import error_code

logger = logging.getLogger(__name__)

# No right to create; no such language; not supported, as on some that only speak like PostgreSQL.
CANNOT_CREATE = ("42501", "42704", "0A000")

NAMES = """
SELECT quote_ident(n.nspname), quote_literal(format('%I.convstore_message', n.nspname))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('convstore_message')"""

# A plan that is kept has to be right for a table of one row and of 10,000,000, so it must not
# depend on the statistics of the day: no scan of a table, and no sort. Each query asks for the
# order of the one index that it is meant for, with ranges, since `=` would make the order void.
# Without that, all indexes of a table of one row cost the same to the planner, and it keeps the
# wrong one. The settings end with the transaction, which is the call.
KEEP_PLANS = """
    || set_config('plan_cache_mode', 'force_generic_plan', true)
    || set_config('enable_seqscan', 'off', true)
    || set_config('enable_bitmapscan', 'off', true)
    || set_config('enable_sort', 'off', true)
    || set_config('jit', 'off', true)"""

# A parameter wins over a column of the same name, which a later version may add; so every
# column is written with its table.
EXCHANGE = """
CREATE OR REPLACE FUNCTION {schema}.convstore_exchange_v1(
  for_key uuid, for_id text, at timestamptz, lock_ms integer, reading jsonb, mark uuid,
  roles text[], bodies text[], keys uuid[], sizes integer[], tokens integer[], kinds smallint[]
) RETURNS TABLE ("position" bigint, "role" text, body text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $function$
#variable_conflict use_variable
DECLARE
  wanted bigint := reading->>'size';
  settings text;
  held_by text;
  active timestamptz;
  found_at bigint;
  is_same boolean;
  stored integer := 0;
  same integer := 0;
  last bigint := 0;
  first bigint := 0;
  first_role text;
  first_body text;
BEGIN
  -- The caller's search_path may lead to the tables of another schema.
  IF current_setting('transaction_isolation') <> 'read committed'
    OR to_regclass('convstore_message') IS DISTINCT FROM {messages}::regclass
  THEN
    "role" := 'use the batch';
    RETURN NEXT;
    RETURN;
  END IF;
  settings := set_config('lock_timeout', lock_ms::text, true){keep_plans};

  SELECT c.memory_id, c.active_at INTO held_by, active FROM {schema}.convstore_conversation c
    WHERE c.id >= for_key AND c.id <= for_key ORDER BY c.id LIMIT 1 FOR NO KEY UPDATE;
  IF NOT FOUND OR active < at - interval '1 hour' THEN
    -- Locks the row also where it changes nothing, if somebody else was first.
    INSERT INTO {schema}.convstore_conversation AS c (id, memory_id, created_at, active_at)
      VALUES (for_key, for_id, at, at)
      ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at
      WHERE c.active_at < at - interval '1 hour';
    SELECT c.memory_id INTO held_by FROM {schema}.convstore_conversation c
      WHERE c.id >= for_key AND c.id <= for_key ORDER BY c.id LIMIT 1;
  END IF;
  IF held_by <> for_id THEN
    "role" := 'id clash';
    RETURN NEXT;
    RETURN;
  END IF;

  -- Loops take less time than joins with the arrays, since most requests have one message.
  FOR n IN 1 .. cardinality(keys) LOOP
    SELECT m.position, m.fingerprint = mark OR m.kind = 2 INTO found_at, is_same
      FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.request_key >= keys[n] AND m.request_key <= keys[n]
      ORDER BY m.request_key LIMIT 1;
    IF FOUND THEN
      stored := stored + 1;
      same := same + is_same::integer;
      last := greatest(last, found_at);
    END IF;
  END LOOP;
  IF stored = 0 THEN
    SELECT m.position INTO last FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key ORDER BY m.position DESC LIMIT 1;
    last := coalesce(last, 0);
    FOR n IN 1 .. cardinality(keys) LOOP
      last := last + 1;
      INSERT INTO {schema}.convstore_message
          (conversation_id, "position", "role", body, request_key, fingerprint, created_at,
          size, tokens, kind)
        VALUES (for_key, last, roles[n], bodies[n], keys[n], mark, at,
          sizes[n], tokens[n], coalesce(kinds[n], 0));
    END LOOP;
  ELSIF stored <> cardinality(keys) OR same <> stored THEN
    "role" := 'key reused';
    RETURN NEXT;
    RETURN;
  END IF;

  "position" := last;
  "role" := 'done';
  RETURN NEXT;
{read}
END
$function$"""

# STABLE: all of it reads one snapshot.
WINDOW = """
CREATE OR REPLACE FUNCTION {schema}.convstore_window_v1(for_key uuid, for_id text, reading jsonb)
RETURNS TABLE ("position" bigint, "role" text, body text)
LANGUAGE plpgsql STABLE SECURITY INVOKER AS $function$
#variable_conflict use_variable
DECLARE
  wanted bigint := reading->>'size';
  settings text;
  last bigint := 9223372036854775807;
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
  "position" := 0;
  "role" := 'done';
  RETURN NEXT;
  PERFORM FROM {schema}.convstore_conversation c
    WHERE c.id >= for_key AND c.id <= for_key AND c.memory_id = for_id ORDER BY c.id LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
{read}
END
$function$"""

# Newest first. The last row is the conversation's first message if it is pinned, and `first` is
# 1 then: it counts, and the other rows are behind it.
READ = """
  IF wanted >= 2 THEN
    SELECT m.position, m.role, m.body INTO first, first_role, first_body
      FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.position <= 1
        AND m.role IN ('system', 'developer') AND m.kind = 0
      ORDER BY m.position LIMIT 1;
    first := coalesce(first, 0);
  END IF;
  RETURN QUERY SELECT m.position, m.role::text, m.body FROM {schema}.convstore_message m
    WHERE m.conversation_id = for_key AND m.position > first AND m.position <= last AND m.kind = 0
    ORDER BY m.position DESC LIMIT wanted - first;
  IF first = 1 THEN
    "position" := 1;
    "role" := first_role;
    body := first_body;
    RETURN NEXT;
  END IF;"""

DROP = """
DROP FUNCTION IF EXISTS {schema}.convstore_exchange_v1(
  uuid, text, timestamptz, integer, jsonb, uuid,
  text[], text[], uuid[], integer[], integer[], smallint[]);
DROP FUNCTION IF EXISTS {schema}.convstore_window_v1(uuid, text, jsonb)"""


def names_of_tables(connection: Any) -> dict[str, str]:
    """The tables' schema, and the name of the messages' table as text."""
    with connection.cursor() as cursor:
        cursor.execute(NAMES)
        return dict(zip(("schema", "messages"), cursor.fetchone(), strict=True))


def create(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    names = names_of_tables(connection)
    read = READ.format(**names)
    try:
        with transaction.atomic(connection.alias):
            for function in (EXCHANGE, WINDOW):
                text = function.format(**names, keep_plans=KEEP_PLANS, read=read)
                schema_editor.execute(text, params=None)
    except Error as error:
        if error_code(error.__cause__) not in CANNOT_CREATE:
            raise
        logger.warning(
            "database %s: the user may not create functions, without which exchanges take more"
            " time: %s",
            connection.alias,
            error,
        )


def drop(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        schema_editor.execute(DROP.format(**names_of_tables(connection)), params=None)


class Migration(migrations.Migration):
    dependencies = [("convstore", "0004_size_kind_and_erased")]

    operations = [migrations.RunPython(create, drop, elidable=False)]
