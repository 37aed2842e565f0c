"""What PostgreSQL's error codes mean."""

from __future__ import annotations

from typing import Any

from convstore.database.fault import BUSY, FULL, LOST, NO_TABLES

# By SQLSTATE.
FAULTS = {
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


def error_code(cause: Any) -> str | None:
    """The SQLSTATE, all of class 08 being one."""
    # psycopg 3 says sqlstate; psycopg2, which a host project may use, says pgcode.
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return "08" if state and state.startswith("08") else state
