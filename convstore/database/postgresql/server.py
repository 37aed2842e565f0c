"""What is asked of a PostgreSQL server, and of the settings that reach it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic

from convstore.database.server import (
    connection_warning,
    durability_warning,
    fetch_row,
    isolation_errors,
    standby_warning,
    time_limit_warning,
)
from convstore.database.vendor import ByteOrder

# The key of an advisory lock: any 64 bits that nobody else is likely to have chosen.
LOCK_KEY = int.from_bytes(hashlib.sha256(b"convstore migrations").digest()[:8], signed=True)

SIZE = "SELECT 'bytes', pg_database_size(current_database())"
# The rows of a partitioned table are those of its partitions: nobody counts it by itself.
ROW_ESTIMATES = """
SELECT c.relname, sum(greatest(p.reltuples, 0))::bigint FROM pg_class c
LEFT JOIN pg_partition_tree(c.oid) t ON t.isleaf
JOIN pg_class p ON p.oid = coalesce(t.relid, c.oid)
WHERE c.oid IN (to_regclass('{0}'), to_regclass('{1}')) GROUP BY c.relname"""

# The index of ids has them in the order of their bytes, not of a locale. Django looks for one of
# its own words, such as ASC, in each order.
BYTE_ORDER = ByteOrder(
    ascending="%(expression)s USING ~<~ /* ASC */", operators={"gte": "~>=~", "gt": "~>~"}
)

# As the partial indexes of migration 0012 have it.
OF_TENANT = "left(memory_id, strpos(memory_id, '/')) = %s AND strpos(memory_id, '/') > 0"

# Whether the functions of the migrations 0005, 0007 and 0009 are there and the user may call them.
MAY_CALL_FUNCTIONS = """
SELECT bool_and(coalesce(has_function_privilege(to_regprocedure(name), 'EXECUTE'), false))
FROM (VALUES
  ('convstore_window_v1(uuid,text,jsonb)'),
  ('convstore_plain_window_v1(uuid,text,bigint,bigint)'),
  ('convstore_exchange_v2(uuid,text,timestamptz,int,jsonb,uuid,text[],text[],uuid[],int[],int[],'
    || 'smallint[],text[])')
) AS functions (name)"""

# -1 stands for no limit.
CONNECTION_LIMITS = """
SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database())"""

# Whoever copies the server's log, but for backups and for programs that follow what changes.
STANDBYS = """
SELECT count(*) FROM pg_stat_replication AS standby
WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal') AND NOT EXISTS (
  SELECT FROM pg_replication_slots WHERE active_pid = standby.pid AND slot_type = 'logical')"""

INCOMPLETE_INDEXES = """
SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND i.indrelid IN (
  SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY 1"""


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
    encoding, isolation = fetch_row(
        connection,
        "SELECT current_setting('server_encoding'), current_setting('transaction_isolation')",
    )
    if encoding != "UTF8":
        yield checks.Error(
            f"its encoding is {encoding}, which cannot hold every text.",
            hint="Create the database with ENCODING 'UTF8' TEMPLATE template0.",
            id="convstore.E007",
        )
    yield from isolation_errors(isolation)
    yield from _durability_messages(connection)
    for name in ("statement_timeout", "transaction_timeout"):  # the second from version 17 on
        (limit,) = fetch_row(connection, "SELECT current_setting(%s, true)", [name])
        if limit not in (None, "0"):
            yield time_limit_warning(f"{name} is {limit}", f"ALTER ROLE ... SET {name} = 0")
    limits = [limit for limit in fetch_row(connection, CONNECTION_LIMITS) if limit != -1]
    yield from connection_warning(limits, connection.settings_dict)
    yield from _schema_messages(connection, tables)
    yield from _transaction_messages(connection)


def _transaction_messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    try:
        with atomic(connection.alias):
            fetch_row(connection, "SELECT 1")
    except Error:
        yield checks.Warning(
            "it takes no transactions, as behind pgbouncer in statement mode: migrations and the"
            " admin fail.",
            hint="Set pool_mode to transaction.",
            id="convstore.W026",
        )


def _durability_messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    commit, fsync, pages, names = fetch_row(
        connection,
        "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
        " current_setting('full_page_writes'), current_setting('synchronous_standby_names')",
    )
    found = {"synchronous_commit": commit, "fsync": fsync, "full_page_writes": pages}
    if off := [name for name, value in found.items() if value == "off"]:
        yield durability_warning(f"{' and '.join(off)} is off", "Turn it on.")
    (standbys,) = fetch_row(connection, STANDBYS)
    if standbys and (commit == "local" or not names):
        hint = "Name it in synchronous_standby_names, and leave synchronous_commit on"
        yield standby_warning(standbys, hint)


def _schema_messages(
    connection: BaseDatabaseWrapper, tables: tuple[str, ...]
) -> Iterator[CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute(INCOMPLETE_INDEXES, [list(tables)])
        incomplete = [name for (name,) in cursor.fetchall()]
    for name in incomplete:
        yield checks.Warning(
            f"its index {name} is not complete: it is being built now, or that was interrupted.",
            hint="Run 'convstore migrate_memories' again, or 'convstore words on' if it is the"
            " index of words.",
            id="convstore.W023",
        )
    (has_tables,) = fetch_row(connection, "SELECT to_regclass(%s) IS NOT NULL", [tables[0]])
    if has_tables and not fetch_row(connection, MAY_CALL_FUNCTIONS)[0]:
        yield checks.Info(
            "each exchange is sent as a batch of statements, which costs more than a function.",
            hint="Let the user of the database create functions, then run 'migrate convstore 0013'"
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
