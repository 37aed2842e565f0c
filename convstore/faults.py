"""What a database's error means: try again, unavailable for now, or our own mistake.

Judged by number (SQLSTATE, SQLite result code), never by class or text, since drivers
disagree on classes. Knows no statements.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from django.db import Error, InterfaceError, OperationalError


@dataclass(frozen=True, slots=True)
class Fault:
    """`again`: the same transaction may succeed right away. `says`: safe to show."""

    again: bool
    says: str
    connection_lost: bool = False


LOST = Fault(again=True, says="the database closed the connection", connection_lost=True)
BUSY = Fault(again=True, says="the database is too busy")
FULL = Fault(again=False, says="the database has no room left or cannot be written")
NO_TABLES = Fault(
    again=False, says="the database has no tables yet: run 'manage.py migrate_memories'"
)

POSTGRESQL = {
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
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: FULL,
    sqlite3.SQLITE_READONLY: FULL,
    sqlite3.SQLITE_CANTOPEN: FULL,
}


def judge(error: Error) -> Fault | None:
    """What `error` means; None when nothing outside this program explains it."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return _judge_sqlite(cause)
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return LOST if state.startswith("08") else POSTGRESQL.get(state)
    # A connection that broke has no number: the server did not say anything any more.
    return LOST if isinstance(error, OperationalError | InterfaceError) else None


def _judge_sqlite(cause: sqlite3.Error) -> Fault | None:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module itself: the connection object is closed
        return LOST if isinstance(cause, sqlite3.ProgrammingError) else None
    if code == sqlite3.SQLITE_ERROR and "no such table" in str(cause):
        return NO_TABLES  # SQLite has no number of its own for this one
    return SQLITE.get(code & 0xFF)  # the low byte is the primary code
