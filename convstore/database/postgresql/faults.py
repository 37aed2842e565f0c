"""What PostgreSQL's error codes mean."""

from __future__ import annotations

from typing import Any

from convstore.database.fault import BUSY, FULL, LOST, NO_TABLES, WRONG_SERVER

# By SQLSTATE.
FAULTS = {
    "08": LOST,  # all of the class: connection exceptions
    "26000": LOST,  # no such prepared statement: a pooler gave us another session
    "40001": BUSY,  # serialization failure
    "40003": LOST,  # whether it was carried out is unknown
    "40P01": BUSY,  # deadlock
    "55P03": BUSY,  # lock timeout
    "57014": BUSY,  # statement timeout
    "57P01": LOST,  # administrator shut the server down
    "57P02": LOST,  # another server process crashed
    "57P03": LOST,  # starting up
    "57P04": LOST,  # the database was dropped
    "57P05": LOST,  # idle for too long
    "25006": WRONG_SERVER,  # read-only transaction: a standby
    "25P03": LOST,  # idle in transaction for too long
    "25P04": LOST,  # transaction timeout
    "53100": FULL,  # disk full
    "53200": BUSY,  # out of memory
    "53300": BUSY,  # too many connections
    "42P01": NO_TABLES,
    "42P05": LOST,  # there is such a prepared statement: another session
    "3F000": NO_TABLES,
}

# By the first two characters: data, integrity, a program limit such as that of an index's row,
# syntax. The class of syntax also has a right that the user lacks, which is not ours.
OWN_MISTAKES = frozenset({"22", "23", "42", "54"})
NO_RIGHT = "42501"


def is_own_mistake(code: str) -> bool:
    return code[:2] in OWN_MISTAKES and code != NO_RIGHT


def error_code(cause: Any) -> str | None:
    """The SQLSTATE, all of class 08 being one."""
    # psycopg 3 says sqlstate; psycopg2, which a host project may use, says pgcode.
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return "08" if state and state.startswith("08") else state
