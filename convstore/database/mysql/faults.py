"""What MySQL's and MariaDB's error codes mean."""

from __future__ import annotations

from typing import Any

from convstore.database.fault import (
    BUSY,
    FULL,
    LOST,
    NO_TABLES,
    TOO_LARGE,
    WRONG_SERVER,
)

FAULTS = {
    0: LOST,  # the driver's own: the connection is closed
    1020: BUSY,  # the row changed since it was read
    1021: FULL,  # disk full
    1040: BUSY,  # too many connections
    1026: FULL,  # a file cannot be written
    1037: BUSY,  # out of memory
    1041: BUSY,  # out of memory
    1047: WRONG_SERVER,  # a node of Galera that is out of its cluster
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
    1180: LOST,  # at COMMIT, whose outcome is unknown; Galera's node lost its cluster
    1181: LOST,  # at ROLLBACK
    1203: BUSY,  # this user has too many connections
    1205: BUSY,  # lock timeout; it ends the statement, not the transaction
    1206: BUSY,  # too many locks
    1213: BUSY,  # deadlock
    1223: BUSY,  # a backup holds the lock of all tables
    1226: BUSY,  # a limit of this user
    1290: WRONG_SERVER,  # read-only: a replica
    1317: BUSY,  # somebody ended the statement
    1637: BUSY,  # too many transactions
    1792: WRONG_SERVER,  # read-only transaction
    1836: WRONG_SERVER,  # read-only
    1927: LOST,  # the connection was killed
    1969: BUSY,  # statement timeout of MariaDB
    2002: LOST,  # a connection that broke was opened anew, and nobody answers
    2003: LOST,
    2006: LOST,
    2013: LOST,
    2014: LOST,  # commands out of sync
    2055: LOST,
    3024: BUSY,  # statement timeout of MySQL
    3100: LOST,  # Group Replication at COMMIT
    3101: BUSY,  # Group Replication rolled back
    3572: BUSY,  # NOWAIT: the row is locked
    4031: LOST,  # idle for too long
}

OWN_MISTAKES = frozenset(
    {
        1048,  # a column must not be NULL
        1052,  # an ambiguous column
        1054,  # no such column
        1064,  # syntax
        1109,  # no such table in the statement
        1136,  # another number of columns than of values
        1149,  # syntax
        1210,  # arguments of a function
        1264,  # number out of range
        1265,  # data truncated
        1267,  # two collations
        1292,  # not a value of that type
        1305,  # no such function
        1364,  # a column without a value
        1366,  # a text that the column cannot hold
        1406,  # data too long
        1451,  # foreign key
        1452,  # foreign key
        1582,  # number of arguments of a function
        1690,  # number out of range
        3819,  # check constraint
        3988,  # a text that the column cannot hold
        4025,  # check constraint of MariaDB
    }
)
is_own_mistake = OWN_MISTAKES.__contains__


def error_code(cause: Any) -> int | None:
    """The server's number, which is the first argument of PyMySQL's errors."""
    first = cause.args[0] if cause is not None and cause.args else None
    return first if isinstance(first, int) else None
