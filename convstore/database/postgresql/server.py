"""What is asked of a PostgreSQL server, and of the settings that reach it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.server import durability_warning, fetch_row, isolation_errors

# The key of an advisory lock: any 64 bits that nobody else is likely to have chosen.
LOCK_KEY = int.from_bytes(hashlib.sha256(b"convstore migrations").digest()[:8], signed=True)

# The rows of a partitioned table are those of its partitions: nobody counts it by itself.
ROW_ESTIMATES = """
SELECT c.relname, sum(greatest(p.reltuples, 0)) FROM pg_class c
LEFT JOIN pg_partition_tree(c.oid) t ON t.isleaf
JOIN pg_class p ON p.oid = coalesce(t.relid, c.oid)
WHERE c.oid IN (to_regclass('{0}'), to_regclass('{1}')) GROUP BY c.relname"""

# Whether the functions of the migrations 0005, 0007 and 0009 are there and the user may call them.
MAY_CALL_FUNCTIONS = """
SELECT bool_and(coalesce(has_function_privilege(to_regprocedure(name), 'EXECUTE'), false))
FROM (VALUES
  ('convstore_window_v1(uuid,text,jsonb)'),
  ('convstore_plain_window_v1(uuid,text,bigint,bigint)'),
  ('convstore_exchange_v2(uuid,text,timestamptz,int,jsonb,uuid,text[],text[],uuid[],int[],int[],'
    || 'smallint[],text[])')
) AS functions (name)"""


def check_settings(entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = entry["OPTIONS"]
    yield from isolation_errors(options.get("isolation_level"))
    hosts = f"{entry['HOST']},{options.get('host', '')}".strip(",")
    if "," in hosts and options.get("target_session_attrs") not in ("read-write", "primary"):
        yield checks.Warning(
            "it has several hosts, and may connect to a standby, which takes no writes.",
            hint="Add target_session_attrs=read-write to the URL.",
            id="convstore.W012",
        )


def check_server(
    connection: BaseDatabaseWrapper, tables: tuple[str, ...]
) -> Iterator[CheckMessage]:
    encoding, commit, fsync, isolation = fetch_row(
        connection,
        "SELECT current_setting('server_encoding'), current_setting('synchronous_commit'),"
        " current_setting('fsync'), current_setting('transaction_isolation')",
    )
    if encoding != "UTF8":
        yield checks.Error(
            f"its encoding is {encoding}, which cannot hold every text.",
            hint="Create the database with ENCODING 'UTF8' TEMPLATE template0.",
            id="convstore.E007",
        )
    yield from isolation_errors(isolation)
    if commit == "off" or fsync == "off":
        yield durability_warning(
            f"synchronous_commit is {commit} and fsync is {fsync}", "Turn both on."
        )
    (has_tables,) = fetch_row(connection, "SELECT to_regclass(%s) IS NOT NULL", [tables[0]])
    if has_tables and not fetch_row(connection, MAY_CALL_FUNCTIONS)[0]:
        yield checks.Info(
            "each exchange is sent as a batch of statements, which costs more than a function.",
            hint="Let the user of the database create functions, then run 'migrate convstore 0008'"
            " and 'migrate convstore' again.",
            id="convstore.I001",
        )


def try_migration_lock(holder: BaseDatabaseWrapper) -> bool:
    # Bound to the transaction, which pgbouncer also keeps on one connection.
    with holder.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    return bool(fetch_row(holder, "SELECT pg_try_advisory_xact_lock(%s)", [LOCK_KEY])[0])


def close_for_good(connection: BaseDatabaseWrapper) -> None:
    """Close it at the driver first: a pool takes back what is open, and hands it out again."""
    if connection.connection is not None:
        connection.connection.close()
    connection.close()
