"""What MySQL's and MariaDB's error codes mean."""

from __future__ import annotations

from typing import Any

from convstore.database.fault import BUSY, FULL, LOST, NO_TABLES, TOO_LARGE

FAULTS = {
    0: LOST,  # the driver's own: the connection is closed
    1020: BUSY,  # the row changed since it was read
    1021: FULL,  # disk full
    1040: BUSY,  # too many connections
    1041: BUSY,  # out of memory
    1053: LOST,  # the server is shutting down
    1114: FULL,  # table or tablespace full
    1062: BUSY,  # a unique key: under the lock, only another node of a cluster can have taken it
    1129: LOST,  # this host is blocked after too many errors
    1146: NO_TABLES,
    1153: TOO_LARGE,
    1158: LOST,  # errors on the wire, up to 1161
    1159: LOST,
    1160: LOST,
    1161: LOST,
    1203: BUSY,  # this user has too many connections
    1205: BUSY,  # lock timeout; it ends the statement, not the transaction
    1213: BUSY,  # deadlock
    1226: BUSY,  # a limit of this user
    1290: FULL,  # read-only: a replica
    1792: FULL,  # read-only transaction
    1836: FULL,  # read-only
    1927: LOST,  # the connection was killed
    1969: BUSY,  # statement timeout of MariaDB
    2006: LOST,
    2013: LOST,
    2014: LOST,  # commands out of sync
    2055: LOST,
    3024: BUSY,  # statement timeout of MySQL
    3572: BUSY,  # NOWAIT: the row is locked
    4031: LOST,  # idle for too long
}


def error_code(cause: Any) -> int | None:
    """The server's number, which is the first argument of PyMySQL's errors."""
    first = cause.args[0] if cause is not None and cause.args else None
    return first if isinstance(first, int) else None
