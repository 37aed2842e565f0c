"""What SQL Server's error codes mean."""

from __future__ import annotations

import re
from typing import Any

from convstore.database.fault import BUSY, FULL, LOST, NO_TABLES, WRONG_SERVER

# By number through ODBC, whose texts end with it. Microsoft's own driver for Python keeps
# neither the number nor the SQLSTATE, only the name of the SQLSTATE.
FAULTS = {
    "Serialization failure": BUSY,  # 1205
    "Timeout expired": BUSY,
    "General error": BUSY,  # out of locks; the limits of Azure's
    "Communication link failure": LOST,
    "Client unable to establish connection": LOST,
    "Server rejected the connection": LOST,
    "Statement completion unknown": LOST,
    "Invalid transaction state": WRONG_SERVER,  # 3906
    "Base table or view not found": NO_TABLES,
    208: NO_TABLES,
    596: LOST,  # the session was killed
    701: BUSY,  # out of memory
    976: WRONG_SERVER,  # a secondary replica that may not be read
    1105: FULL,  # file group full
    1204: BUSY,  # out of locks
    1205: BUSY,  # deadlock
    1222: BUSY,  # lock timeout
    3906: WRONG_SERVER,  # read-only database
    3960: BUSY,  # snapshot conflict
    3908: WRONG_SERVER,  # a database in emergency mode
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

OWN_MISTAKES = frozenset(
    {
        "Column not found",
        "Integrity constraint violation",
        "Syntax error or access violation",
        102,  # syntax
        105,  # syntax
        156,  # syntax
        207,  # no such column
        213,  # another number of columns than of values
        241,  # not a time
        245,  # not a value of that type
        515,  # a column must not be NULL
        547,  # foreign key, or check constraint
        2601,  # unique index
        2627,  # unique constraint
        2628,  # data too long
        8114,  # not a value of that type
        8115,  # number out of range
        8152,  # data too long
    }
)
is_own_mistake = OWN_MISTAKES.__contains__


def error_code(cause: Any) -> int | str | None:
    """The server's number, or the name of the SQLSTATE, as the driver has it."""
    if name := getattr(cause, "driver_error", None):
        return str(name)
    found = re.search(r"\((\d+)\) \(SQL\w+\)", str(cause))
    return int(found[1]) if found and found[1] != "0" else None
