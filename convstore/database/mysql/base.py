"""Django's MySQL backend over PyMySQL, independent of the defaults of MariaDB and MySQL.

Tables are InnoDB and utf8mb4, and sessions are strict. One query may hold several statements;
a query that is too large for the server is refused before it is sent.
"""

from __future__ import annotations

import ssl
from typing import Any

import pymysql
from pymysql.constants import CLIENT, ER

pymysql.install_as_MySQLdb()  # before Django's backend imports MySQLdb

from django.db.backends.mysql import base, schema  # noqa: E402

# Galera, and MySQL's Group Replication with several primaries.
GALERA = ("wsrep_on", "ON")
OPTIMISTIC = {GALERA, ("group_replication_single_primary_mode", "OFF")}
CLUSTER_SETTINGS = (
    "SHOW VARIABLES WHERE variable_name IN ('wsrep_on', 'group_replication_single_primary_mode')"
)


class Connection(pymysql.connections.Connection):
    """Refuses queries that are too large: the server would close the connection."""

    packet_limit: int | None = None  # the server's max_allowed_packet, in bytes
    # Other nodes of the cluster take writes, too, and locks are local to each node.
    replicates_optimistically = False
    has_procedures: bool | None = None  # those of migration 0014; None if nobody has asked

    # Without options, TLS is used where the server has it, and no certificate is verified.
    tls_without_options: ssl.SSLContext | None = None

    def _create_ssl_ctx(self, options: Any) -> ssl.SSLContext:
        """As PyMySQL's, but one for all connections without options.

        Each context reads all certificates of the system: 32 ms of CPU, and 2 MB meanwhile.
        """
        if not options and Connection.tls_without_options:
            return Connection.tls_without_options
        context: ssl.SSLContext = super()._create_ssl_ctx(options)  # type: ignore[misc]
        if not options:
            Connection.tls_without_options = context
        return context

    def query(self, sql: Any, unbuffered: bool = False) -> int:
        """As PyMySQL's. Raises OperationalError 1153 for a query over `packet_limit`."""
        query = sql.encode(self.encoding) if isinstance(sql, str) else sql
        # The server also counts the packet's first byte, which says that it is a query.
        if self.packet_limit and len(query) + 1 > self.packet_limit:
            raise pymysql.OperationalError(
                ER.NET_PACKET_TOO_LARGE, "Got a packet bigger than 'max_allowed_packet' bytes"
            )
        return super().query(query, unbuffered)


class SchemaEditor(schema.DatabaseSchemaEditor):
    # The server's or the database's default may be latin1 or three-byte UTF-8, and a collation
    # that takes two texts for one.
    sql_create_table = (
        "CREATE TABLE %(table)s (%(definition)s)"
        " ENGINE InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT DYNAMIC"
    )


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = SchemaEditor

    def get_connection_params(self) -> dict[str, Any]:
        parameters = super().get_connection_params()
        # FOUND_ROWS: Django expects the rows that an UPDATE matched, not those that it changed.
        flags = CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS
        if "password" in parameters:
            # The server stores UTF-8. PyMySQL would send Latin-1, and fails for other texts.
            parameters["password"] = parameters["password"].encode()
        return {**parameters, "client_flag": parameters["client_flag"] | flags}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        lock_wait = conn_params.pop("lock_wait_timeout")
        connection = Connection(**conn_params)
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION innodb_lock_wait_timeout = %s,"
                " sql_mode = CONCAT_WS(',', @@sql_mode, 'STRICT_ALL_TABLES')",
                [lock_wait],
            )
            cursor.execute("SELECT @@max_allowed_packet")
            ((connection.packet_limit,),) = cursor.fetchall()
            cursor.execute(CLUSTER_SETTINGS)
            found = set(cursor.fetchall()) & OPTIMISTIC
            connection.replicates_optimistically = bool(found)
            if GALERA in found:
                # Or a window would lack what was acknowledged at another node a moment ago.
                cursor.execute("SET SESSION wsrep_sync_wait = @@wsrep_sync_wait | 1")
        return connection
