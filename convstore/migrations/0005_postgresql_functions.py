"""PostgreSQL's functions for the exchange and the window: one call, whose plans are kept.

They stand in the tables' schema and name it, so that they never touch the tables of another.
Where the user may not create functions, exchanges go on as a batch of statements.

A released function stays as it is. A later version of the program gets functions of another
name, since both versions serve the database while the later one is rolled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import migrations, transaction

from convstore.migrations._rights import log_missing_right

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
  settings text;
  held_by text;
  active timestamptz;
  found_at bigint;
  is_same boolean;
  stored integer := 0;
  same integer := 0;
  last bigint := 0;
  was_empty boolean;
  has_gaps boolean;
{variables}
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
{pinned}
  IF stored = 0 THEN
    new_count := cardinality(keys);
    FOR n IN 1 .. new_count LOOP
      new_bytes := new_bytes + sizes[n];
    END LOOP;
{last_of_pairs}
{group}
    -- The highest position, and whether the window is surely within the limits on replies. If not,
    -- or if messages in between are erased, somebody has to measure it.
    SELECT max(w.position), coalesce(sum(w.bytes), 0), count(*), bool_or(w.kind <> 0)
      INTO last, window_bytes, window_count, has_gaps
      FROM (SELECT m.position, m.kind, {bytes} AS bytes FROM {schema}.convstore_message m
        WHERE m.conversation_id = for_key ORDER BY m.position DESC
        LIMIT greatest(least(wanted, max_messages + 1) - new_count, grouped, 1)) AS w;
    last := coalesce(last, 0);
    IF last <> (reading->>'expected_position')::bigint THEN
      "position" := last;
      "role" := 'wrong position';
      RETURN NEXT;
      RETURN;
    END IF;
    IF has_gaps OR window_bytes + coalesce(first_bytes, 0) + new_bytes > max_bytes
      OR (window_count + new_count >= max_messages AND (in_pairs OR wanted > max_messages))
    THEN
      "role" := 'measure first';
      RETURN NEXT;
      RETURN;
    END IF;
    was_empty := last = 0;
    FOR n IN 1 .. new_count LOOP
      last := last + 1;
      INSERT INTO {schema}.convstore_message
          (conversation_id, "position", "role", body, request_key, fingerprint, created_at,
          size, tokens, kind)
        VALUES (for_key, last, roles[n], bodies[n], keys[n], mark, at,
          sizes[n], tokens[n], coalesce(kinds[n], 0));
    END LOOP;
    IF was_empty AND new_count > 1 THEN
{pinned}
    END IF;
  ELSIF stored <> cardinality(keys) OR same <> stored THEN
    "role" := 'key reused';
    RETURN NEXT;
    RETURN;
  END IF;
{group}
{budget}
  IF stored > 0 THEN
{check}
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
  settings text;
  last bigint := 9223372036854775807;
{variables}
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
    "position" := 0;
    "role" := 'done';
    RETURN NEXT;
    RETURN;
  END IF;
{last_of_pairs}
{pinned}
{group}
{budget}
{check}
  "position" := 0;
  "role" := 'done';
  RETURN NEXT;
{read}
END
$function$"""

# What both functions know of the window. `wanted` is how many messages it holds at most, `first`
# is 1 if the conversation's first message is pinned, `grouped` how many of the newest ones belong
# to the last one, and `new_...` are those of the messages that are still to be added.
VARIABLES = """
  wanted bigint := reading->>'size';
  max_bytes bigint := reading->>'max_bytes';
  max_messages bigint := reading->>'max_messages';
  budget bigint := reading->>'tokens';
  in_pairs boolean := coalesce(reading->>'unit' = 'tool_pair', false);
  first bigint := 0;
  first_role text;
  first_body text;
  first_bytes bigint;
  first_tokens bigint;
  grouped bigint := 0;
  new_count bigint := 0;
  new_bytes bigint := 0;
  counted bigint := 0;
  cost bigint;
  window_bytes bigint;
  window_count bigint;"""

# Rows that were written before there was the column have size 0.
BYTES = "CASE WHEN m.size > 0 THEN m.size ELSE octet_length(m.body) END"
TOKENS = f"coalesce(m.tokens, (({BYTES}) + 3) / 4)"

# A pinned message counts, and the other messages of the window are behind it.
PINNED = """
  IF wanted >= 2 THEN
    SELECT m.position, m.role, m.body, {bytes}, {tokens}
      INTO first, first_role, first_body, first_bytes, first_tokens
      FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.position <= 1
        AND m.role IN ('system', 'developer') AND m.kind = 0
      ORDER BY m.position LIMIT 1;
    first := coalesce(first, 0);
  END IF;"""

LAST_OF_PAIRS = """
  IF in_pairs THEN
    SELECT m.position INTO last FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key ORDER BY m.position DESC LIMIT 1;
  END IF;"""

# The newest messages that answer calls of tools, and the message with the calls.
GROUP = """
  IF in_pairs THEN
    SELECT m.position INTO grouped FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.position <= last
        AND m.position > last - max_messages AND m.role <> 'tool' AND m.kind = 0
      ORDER BY m.position DESC LIMIT 1;
    grouped := coalesce(last - grouped + 1, max_messages + 1);
  END IF;"""

# From here on, `wanted` is without the pinned message.
BUDGET = """
  wanted := wanted - first;
  IF budget IS NOT NULL THEN
    budget := budget - coalesce(first_tokens, 0);
    FOR cost IN SELECT {tokens} FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.position > first AND m.position <= last
        AND m.kind = 0
      ORDER BY m.position DESC LIMIT wanted
    LOOP
      budget := budget - cost;
      EXIT WHEN budget < 0;
      counted := counted + 1;
    END LOOP;
    wanted := greatest(counted, 1);
  END IF;"""

# Before bodies are read: where the window is over a limit, somebody has to measure it.
CHECK = """
  SELECT coalesce(sum(w.bytes), 0), count(*) INTO window_bytes, window_count
    FROM (SELECT {bytes} AS bytes FROM {schema}.convstore_message m
      WHERE m.conversation_id = for_key AND m.position > first AND m.position <= last
        AND m.kind = 0
      ORDER BY m.position DESC LIMIT least(greatest(wanted, grouped), max_messages + 1)) AS w;
  IF window_bytes + coalesce(first_bytes, 0) > max_bytes
    OR window_count + first > max_messages
  THEN
    "role" := 'measure first';
    RETURN NEXT;
    RETURN;
  END IF;"""

# Newest first; the pinned message is the last row.
READ = """
  RETURN QUERY SELECT m.position, m.role::text, m.body FROM {schema}.convstore_message m
    WHERE m.conversation_id = for_key AND m.position > first AND m.position <= last AND m.kind = 0
    ORDER BY m.position DESC LIMIT greatest(wanted, grouped);
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
    if connection.vendor == "postgresql":
        execute_if_allowed(schema_editor, texts_for(connection, EXCHANGE, WINDOW))


def texts_for(connection: Any, *functions: str) -> list[str]:
    """The functions for the tables of this database; a later migration makes some of them, too."""
    names = names_of_tables(connection)
    parts = {"variables": VARIABLES, "pinned": PINNED, "group": GROUP}
    parts |= {"last_of_pairs": LAST_OF_PAIRS, "budget": BUDGET, "check": CHECK, "read": READ}
    names |= {"bytes": BYTES, "tokens": TOKENS}
    parts = {name: part.format(**names) for name, part in parts.items()}
    names["keep_plans"] = KEEP_PLANS
    return [function.format(**names, **parts) for function in functions]


def execute_if_allowed(schema_editor: Any, functions: Sequence[str]) -> None:
    """Create all of the functions; if the user may not, log that."""
    connection = schema_editor.connection
    with (
        log_missing_right(connection, "functions", CANNOT_CREATE),
        transaction.atomic(connection.alias),
    ):
        for function in functions:
            schema_editor.execute(function, params=None)


def drop(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        schema_editor.execute(DROP.format(**names_of_tables(connection)), params=None)


class Migration(migrations.Migration):
    dependencies = [("convstore", "0004_size_kind_and_erased")]

    operations = [migrations.RunPython(create, drop, elidable=False)]
