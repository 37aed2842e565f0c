"""What a database's error means: try again, unavailable for now, or our own mistake.

Judged by number (SQLSTATE, or the vendor's own), never by class or text, since drivers
disagree on classes: SQL Server's deadlock, 1205, is an error of the program to one of its
two drivers and of the operation to the other. Knows no statements.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import Error, InterfaceError, OperationalError, connections

from convstore.errors import MessageTooLarge, StoreError, Unavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """`again`: the same transaction may succeed right away. `says`: safe to show. `reason`:
    what the store raises when it does not, or did not within its time limit."""

    again: bool
    says: str
    connection_lost: bool = False
    reason: type[StoreError] = Unavailable


LOST = Fault(again=True, says="the database closed the connection", connection_lost=True)
BUSY = Fault(again=True, says="the database is too busy")
FULL = Fault(again=False, says="the database has no room left or cannot be written")
NO_TABLES = Fault(
    again=False, says="the database has no tables yet: run 'manage.py migrate_memories'"
)
TOO_LARGE = Fault(
    again=False,
    says="the message is larger than the database takes (on MySQL, its max_allowed_packet)",
    reason=MessageTooLarge,
)

# What each vendor's numbers mean; one that is not here is a mistake of our own.
POSTGRESQL = {
    "08": LOST,  # all of the class: connection exceptions
    "40001": BUSY,  # serialization failure
    "40P01": BUSY,  # deadlock
    "55P03": BUSY,  # lock timeout
    "57014": BUSY,  # statement timeout
    "57P01": LOST,  # administrator shut the server down
    "57P02": LOST,  # another server process crashed
    "57P03": LOST,  # starting up
    "25P03": LOST,  # idle in transaction for too long
    "25006": FULL,  # read-only transaction: a standby
    "53100": FULL,  # disk full
    "53200": BUSY,  # out of memory
    "53300": BUSY,  # too many connections
    "42P01": NO_TABLES,
    "3F000": NO_TABLES,
}
SQLITE = {
    "closed": LOST,  # Python's module's own: the connection object is closed
    "no table": NO_TABLES,  # SQLite has no number for it
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: FULL,
    sqlite3.SQLITE_READONLY: FULL,
    sqlite3.SQLITE_CANTOPEN: FULL,
    sqlite3.SQLITE_TOOBIG: TOO_LARGE,
}
MYSQL = {
    0: LOST,  # the driver's own: the connection was closed already
    1020: BUSY,  # the row changed since it was read
    1021: FULL,  # disk full
    1040: BUSY,  # too many connections
    1041: BUSY,  # out of memory
    1053: LOST,  # the server is shutting down
    1114: FULL,  # table or tablespace full
    1129: LOST,  # this host is blocked after too many errors
    1146: NO_TABLES,
    1153: TOO_LARGE,
    1158: LOST,  # errors on the wire, up to 1161
    1159: LOST,
    1160: LOST,
    1161: LOST,
    1203: BUSY,  # this user has too many connections
    1205: BUSY,  # lock timeout, which ends the statement and not the transaction
    1213: BUSY,  # deadlock
    1226: BUSY,  # a limit of this user
    1290: FULL,  # read-only: a replica
    1792: FULL,  # read-only transaction
    1836: FULL,  # read-only
    1927: LOST,  # the connection was killed
    1969: BUSY,  # statement timeout of MariaDB
    2006: LOST,
    2013: LOST,
    2014: LOST,  # out of step
    2055: LOST,
    3024: BUSY,  # statement timeout of MySQL
    3572: BUSY,  # lock not given at once
    4031: LOST,  # idle for too long
}
# By number through ODBC, whose texts end with it. Microsoft's own driver for Python keeps
# neither that nor the SQLSTATE, but the name of the SQLSTATE.
SQL_SERVER = {
    "Serialization failure": BUSY,  # 1205
    "Timeout expired": BUSY,
    "General error": BUSY,  # out of locks; the limits of Azure's
    "Communication link failure": LOST,
    "Client unable to establish connection": LOST,
    "Server rejected the connection": LOST,
    "Invalid transaction state": FULL,  # 3906
    "Base table or view not found": NO_TABLES,
    208: NO_TABLES,
    596: LOST,  # the session was killed
    701: BUSY,  # out of memory
    1105: FULL,  # file group full
    1204: BUSY,  # out of locks
    1205: BUSY,  # deadlock
    1222: BUSY,  # lock timeout
    3906: FULL,  # read-only database
    3960: BUSY,  # snapshot conflict
    4060: LOST,  # the database cannot be opened: starting, or failing over
    9002: FULL,  # log full
    10053: LOST,
    10054: LOST,
    10060: LOST,
    10928: BUSY,  # a limit of Azure's; so are the next ones
    10929: BUSY,
    40197: LOST,
    40501: BUSY,
    40613: LOST,
    49918: BUSY,
    49919: BUSY,
    49920: BUSY,
}
ORACLE = {
    28: LOST,  # the session was killed
    54: BUSY,  # lock not given at once
    60: BUSY,  # deadlock
    942: NO_TABLES,
    1012: LOST,  # not logged on
    1013: BUSY,  # cancelled: the call's time limit
    1033: LOST,  # starting or shutting down
    1034: LOST,  # not available
    1089: LOST,  # shutting down
    1092: LOST,  # shut down
    1536: FULL,  # quota
    1652: FULL,  # no room in the temporary tablespace
    1653: FULL,  # no room in the tablespace
    1654: FULL,
    1691: FULL,
    2396: LOST,  # idle for too long
    3113: LOST,
    3114: LOST,
    3135: LOST,
    4068: BUSY,  # a package was recompiled
    8177: BUSY,  # serialization failure
    12170: LOST,  # connect timeout
    12514: LOST,  # the listener does not know the service: starting
    12528: LOST,
    12537: LOST,
    12541: LOST,
    12571: LOST,
    16000: FULL,  # read-only: a standby
    25408: LOST,  # failed over, and nobody knows what became of the call
    30006: BUSY,  # lock timeout
    # The driver's own.
    "DPY-1001": LOST,  # not connected
    "DPY-4011": LOST,
    "DPY-4024": BUSY,  # the call's time limit
    "DPY-6005": LOST,  # cannot connect
}


def describe_error(using: str, error: Error) -> str:
    """A sentence for people about an error of the database `using`, whose text goes to the log."""
    logger.warning("database %s: %s", using, error)
    fault = classify(connections[using].vendor, error)
    says = fault.says if fault else "the database did not do what it was asked"
    return f"{says[0].upper()}{says[1:]}; the log has the reason."


def classify(vendor: str, error: Exception) -> Fault | None:
    """What `error` means; None when nothing outside this program explains it.

    `vendor` is that of Django's connection, `error` one of Django's classes with the
    driver's as its cause, or the driver's itself.
    """
    number_of, faults = VENDORS[vendor]
    number = number_of(error.__cause__ if isinstance(error, Error) else error)
    if number is not None:
        return faults.get(number)
    # A connection that broke has no number: the server did not say anything any more.
    return LOST if isinstance(error, OperationalError | InterfaceError) else None


def _sqlstate(cause: Any) -> str | None:
    state: str | None = getattr(cause, "sqlstate", None)
    return "08" if state and state.startswith("08") else state


def _sqlite_code(cause: Any) -> int | str | None:
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return "closed" if isinstance(cause, sqlite3.ProgrammingError) else None
    if code == sqlite3.SQLITE_ERROR and "no such table" in str(cause):
        return "no table"
    return code & 0xFF  # the low byte is the primary code


def _first_argument(cause: Any) -> int | None:
    """PyMySQL's errors begin with the number."""
    first = cause.args[0] if cause is not None and cause.args else None
    return first if isinstance(first, int) else None


def _sql_server_number(cause: Any) -> int | str | None:
    if name := getattr(cause, "driver_error", None):
        return str(name)
    found = re.search(r"\((\d+)\) \(SQL\w+\)", str(cause))
    return int(found[1]) if found and found[1] != "0" else None


def _oracle_code(cause: Any) -> int | str | None:
    """The server's number; the driver's own code where the server did not speak."""
    detail = cause.args[0] if cause is not None and cause.args else None
    if getattr(detail, "is_session_dead", False):
        return "DPY-4011"
    return getattr(detail, "code", None) or getattr(detail, "full_code", None)


VENDORS: Mapping[str, tuple[Callable[[Any], Any], Mapping[Any, Fault]]] = {
    "postgresql": (_sqlstate, POSTGRESQL),
    "sqlite": (_sqlite_code, SQLITE),
    "mysql": (_first_argument, MYSQL),
    "microsoft": (_sql_server_number, SQL_SERVER),
    "oracle": (_oracle_code, ORACLE),
}
