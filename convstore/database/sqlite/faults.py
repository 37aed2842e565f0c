"""What SQLite's error codes mean."""

from __future__ import annotations

import sqlite3
from typing import Any

from convstore.database.fault import (
    BUSY,
    FILE_NOT_WRITABLE,
    FULL,
    LOST,
    NO_TABLES,
    TOO_LARGE,
)

FAULTS = {
    "closed": LOST,  # Python's module's own: the connection object is closed
    "no table": NO_TABLES,  # SQLite has no number for it
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: FULL,  # as a full disk is, too, where a file cannot grow
    sqlite3.SQLITE_NOMEM: BUSY,
    sqlite3.SQLITE_PROTOCOL: BUSY,  # others locked the file again and again
    sqlite3.SQLITE_SCHEMA: BUSY,  # the tables changed meanwhile
    sqlite3.SQLITE_READONLY: FILE_NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: FILE_NOT_WRITABLE,
    sqlite3.SQLITE_TOOBIG: TOO_LARGE,
}

OWN_MISTAKES = frozenset(
    {
        sqlite3.SQLITE_AUTH,  # only this program can forbid a statement
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_ERROR,  # syntax, or no such column
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
is_own_mistake = OWN_MISTAKES.__contains__


def error_code(cause: Any) -> int | str | None:
    """SQLite's primary result code, or a word of ours for what has no code."""
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return "closed" if isinstance(cause, sqlite3.ProgrammingError) else None
    if code == sqlite3.SQLITE_ERROR and "no such table" in str(cause):
        return "no table"
    return code & 0xFF  # the low byte is the primary code
