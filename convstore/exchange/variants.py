"""Which variant of the exchange a database connection can run."""

from __future__ import annotations

from typing import Any

from django.db import connections

from convstore.database.mysql.server import runs_batches_whole
from convstore.database.vendors import vendor_for
from convstore.exchange.mysql import MariaDbProcedures, MySqlBatch, may_call_procedures
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.shared_sql import CONVERSATION
from convstore.exchange.sqlite import SqliteInProcess
from convstore.exchange.statements import Statements


def statements_for(using: str) -> Statements:
    """The fastest variant for the database `using`; the portable one runs on all of them."""
    connection: Any = connections[using]
    if connection.vendor == "sqlite":
        return SqliteInProcess(using)
    if connection.vendor == "postgresql" and connection.Database.__name__ == "psycopg":
        return _statements_for_psycopg(using, connection)
    if connection.vendor == "mysql" and runs_batches_whole(connection):
        batches = MySqlBatch(using)
        return MariaDbProcedures(using, batches) if may_call_procedures(connection) else batches
    return PortableOrm(using)


def _statements_for_psycopg(using: str, connection: Any) -> Statements:
    # Not at the top: it imports psycopg, which not everybody needs.
    from convstore.exchange.postgresql import PostgresBatch, PostgresFunctions, session_of

    batch = PostgresBatch(using) if _takes_batches(connection) else PortableOrm(using)
    return PostgresFunctions(using, batch) if session_of(connection).has_functions else batch


def write_nothing(using: str) -> None:
    """Fail, as the server does, where the database `using` takes no writes."""
    if statement := vendor_for(using).write_nothing:
        with connections[using].cursor() as cursor:
            cursor.execute(statement.format(CONVERSATION))


def _takes_batches(connection: Any) -> bool:
    """Whether one query may hold several statements: where psycopg 3 binds in the client."""
    return not connection.features.uses_server_side_binding
