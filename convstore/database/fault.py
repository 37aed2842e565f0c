"""Fault: what a database's error means for the call that met it.

Each vendor's `faults.py` maps error codes to the faults below. A code that is in no map is
a mistake of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

from convstore.errors import MessageTooLarge, StoreError, Unavailable


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of database error.

    `retry`: the same transaction may succeed at once. `sentence`: what to tell a client; it
    holds no detail of the server, and `{migrate_command}` in it is filled in by `classify`.
    `error_class`: what the store raises if it gives up.
    """

    retry: bool
    sentence: str
    connection_lost: bool = False
    error_class: type[StoreError] = Unavailable


LOST = Fault(retry=True, sentence="the database closed the connection", connection_lost=True)
BUSY = Fault(retry=True, sentence="the database is too busy")
FULL = Fault(retry=False, sentence="the database has no room left or cannot be written")
NO_TABLES = Fault(retry=False, sentence="the database has no tables yet: run '{migrate_command}'")
TOO_LARGE = Fault(
    retry=False,
    sentence="the message is larger than the database takes (on MySQL, its max_allowed_packet)",
    error_class=MessageTooLarge,
)
