"""What is asked of a MySQL or MariaDB server, and of the settings that reach it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.conf import max_body_bytes
from convstore.database.mysql.cluster import check_cluster
from convstore.database.server import (
    connection_warning,
    durability_warning,
    fetch_row,
    isolation_errors,
    standby_warning,
    time_limit_warning,
)

SIZE = (
    "SELECT 'bytes', SUM(data_length + index_length) FROM information_schema.tables"
    " WHERE table_schema = DATABASE()"
)
ROW_ESTIMATES = (
    "SELECT table_name, table_rows FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name IN ('{0}', '{1}')"
)

# The column is none of the model's; see migration 0012.
OF_TENANT = "id_prefix = %s"

# Whether the procedures of migration 0014 are there, and the user has rights to them.
MAY_CALL_PROCEDURES = (
    "SELECT COUNT(*) = 2 FROM information_schema.routines WHERE routine_schema = DATABASE()"
    " AND routine_name IN ('convstore_exchange_v1', 'convstore_window_v2')"
)

# Of MariaDB, which tells it everybody. The second is OFF also where no replica answered in time.
REPLICAS = (
    "SHOW GLOBAL STATUS WHERE variable_name IN ('Slaves_connected', 'Rpl_semi_sync_master_status')"
)


def check_settings(entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = entry["OPTIONS"]
    yield from isolation_errors(options.get("isolation_level"))
    charset = options.get("charset", "utf8mb4")  # Django's default
    if charset != "utf8mb4":
        yield checks.Error(
            f"the connection's character set is {charset!r}, which cannot hold emoji.",
            hint="Set OPTIONS['charset'] to 'utf8mb4'.",
            id="convstore.E003",
        )


def check_server(connection: Any, tables: tuple[str, ...]) -> Iterator[CheckMessage]:
    flush, packet = fetch_row(
        connection, "SELECT @@innodb_flush_log_at_trx_commit, @@max_allowed_packet"
    )
    if flush != 1:
        yield durability_warning(f"innodb_flush_log_at_trx_commit is {flush}", "Set it to 1.")
    has_binary_log, sync = fetch_row(connection, "SELECT @@log_bin, @@sync_binlog")
    if has_binary_log and sync != 1:
        # After a crash, InnoDB rolls back what its log has and the binary log has not.
        yield durability_warning(f"log_bin is on and sync_binlog is {sync}", "Set it to 1.")
    limit = "max_statement_time" if connection.mysql_is_mariadb else "max_execution_time"
    (seconds,) = fetch_row(connection, f"SELECT @@{limit}")
    if seconds:
        yield time_limit_warning(f"{limit} is {seconds:g}", f"Set {limit} to 0")
    limits = fetch_row(connection, "SELECT @@max_connections, @@max_user_connections")
    yield from connection_warning(filter(None, limits), connection.settings_dict)
    if packet < max_body_bytes():
        yield checks.Warning(
            f"its max_allowed_packet, {packet}, is below MAX_BODY_BYTES, {max_body_bytes()}:"
            " a larger message is refused with 413.",
            hint="Raise max_allowed_packet or lower MAX_BODY_BYTES.",
            id="convstore.W007",
        )
    found = _table_options(connection, tables)
    if found and _lacks_procedures(connection):
        yield checks.Info(
            "each exchange is sent as a batch of statements, which costs more than a procedure.",
            hint="Grant the user of the database CREATE ROUTINE and EXECUTE on it, then run"
            " 'migrate convstore 0013' and 'migrate convstore' again.",
            id="convstore.I002",
        )
    for table, engine, collation in found:
        if engine != "InnoDB" or not str(collation).startswith("utf8mb4"):
            yield checks.Error(
                f"its table {table} is {engine} with {collation}.",
                hint=f"ALTER TABLE {table} ENGINE InnoDB, CONVERT TO CHARACTER SET utf8mb4"
                " COLLATE utf8mb4_bin",
                id="convstore.E008",
            )
    yield from check_cluster(connection)
    yield from _replica_messages(connection)


def _replica_messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute(REPLICAS)
        found = {name.lower(): value for name, value in cursor.fetchall()}
    replicas = int(found.get("slaves_connected", 0))
    if replicas and found.get("rpl_semi_sync_master_status") != "ON":
        hint = "Turn semi-synchronous replication on, at both servers"
        yield standby_warning(replicas, hint)


def _lacks_procedures(connection: Any) -> bool:
    """Whether each exchange is a batch only since the procedures are not there for the user."""
    if not (connection.mysql_is_mariadb and runs_batches_whole(connection)):
        return False
    return not fetch_row(connection, MAY_CALL_PROCEDURES)[0]


def runs_batches_whole(connection: Any) -> bool:
    """Whether one query may hold several statements, which are run all or none.

    Only our own backend sends such a query. A server that replicates optimistically may abort the
    transaction between two of them; it would run the rest as transactions of their own.
    """
    if not connection.settings_dict["ENGINE"].startswith("convstore."):
        return False
    connection.ensure_connection()
    return not connection.connection.replicates_optimistically


def _table_options(
    connection: BaseDatabaseWrapper, tables: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    """Name, engine and collation of those of `tables` that exist."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, engine, table_collation FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name IN %s",
            [tables],
        )
        return list(cursor.fetchall())


def try_migration_lock(holder: BaseDatabaseWrapper) -> bool:
    # Lock names belong to the server, not to a database, and have at most 64 characters.
    database = hashlib.sha256(str(holder.settings_dict["NAME"]).encode()).hexdigest()[:32]
    name = f"convstore migrations {database}"
    return bool(fetch_row(holder, "SELECT GET_LOCK(%s, 0)", [name])[0] == 1)
