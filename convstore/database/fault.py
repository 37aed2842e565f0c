"""Fault: what a database's error means for the call and for the connection that met it.

Each vendor's `faults.py` maps error codes to the faults below, and names the codes that are
mistakes of our own. Any other code is UNKNOWN: a table of codes is never complete, and what
is not in it is the server's trouble far more often than ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from convstore.errors import MessageTooLarge, StoreError, Unavailable


class Connections(Enum):
    """What becomes of connections after a fault."""

    KEEP = "keep"
    DROP = "drop the one that met the fault"
    DROP_ALL = "drop that one, and those of other threads once a server takes writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of database error.

    `retry`: the same transaction may succeed at once, perhaps on a new connection. `sentence`:
    what to tell a client; it holds no detail of the server, and `{migrate_command}` in it is
    filled in by `classify`. `error_class`: what the store raises if it gives up.
    """

    retry: bool
    connections: Connections
    sentence: str
    error_class: type[StoreError] = Unavailable


LOST = Fault(
    retry=True,
    connections=Connections.DROP,
    sentence="the database closed the connection",
)
BUSY = Fault(
    retry=True,
    connections=Connections.KEEP,
    sentence="the database is too busy",
)
# A new connection may lead to the server that takes writes now, also while this one lives on.
WRONG_SERVER = Fault(
    retry=True,
    connections=Connections.DROP_ALL,
    sentence="the database's server takes no writes: it is a standby, read-only or not ready",
)
# There is no other file, so to try again at once would help nobody.
FILE_NOT_WRITABLE = Fault(
    retry=False,
    connections=Connections.DROP,
    sentence="the database's file cannot be opened or written",
)
FULL = Fault(
    retry=False,
    connections=Connections.KEEP,
    sentence="the database has no room left on its disk",
)
NO_TABLES = Fault(
    retry=False,
    connections=Connections.KEEP,
    sentence="the database has no tables yet: run '{migrate_command}'",
)
TOO_LARGE = Fault(
    retry=False,
    connections=Connections.KEEP,
    sentence="the message is larger than the database takes (on MySQL, its max_allowed_packet)",
    error_class=MessageTooLarge,
)
UNKNOWN = Fault(
    retry=False,
    connections=Connections.DROP,
    sentence="the database reported an error that convstore does not know; the log has it",
)
