"""What SQLite's error codes mean."""

from __future__ import annotations

import sqlite3
from typing import Any

from convstore.database.fault import BUSY, FULL, LOST, NO_TABLES, TOO_LARGE

FAULTS = {
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


def error_code(cause: Any) -> int | str | None:
    """SQLite's primary result code, or a word of ours for what has no code."""
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return "closed" if isinstance(cause, sqlite3.ProgrammingError) else None
    if code == sqlite3.SQLITE_ERROR and "no such table" in str(cause):
        return "no table"
    return code & 0xFF  # the low byte is the primary code
