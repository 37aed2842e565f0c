"""Locks that a migration takes for a moment; Django skips modules whose name begins with `_`.

A change of a table waits for every transaction that uses it, such as that of a backup, and
all who come later wait behind the change. So it must not wait for long, but give up, let the
others through, and try again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import OperationalError, transaction

from convstore.database.fault import BUSY
from convstore.database.faults import classify

PAUSE_SECONDS = 1


def change_briefly(connection: Any, change: Callable[[], object]) -> None:
    """Run a change of a table that locks it for a moment, until it gets its lock.

    It is to be one statement, outside of a transaction.
    """
    limit = LIMITS.get(connection.vendor, nullcontext)
    while not _succeeds(connection, limit, change):
        time.sleep(PAUSE_SECONDS)


def _succeeds(connection: Any, limit: Callable[[Any], Any], change: Callable[[], object]) -> bool:
    try:
        with limit(connection):
            change()
    except OperationalError as error:
        if classify(connection.alias, error) == BUSY:
            return False
        raise
    return True


@contextmanager
def _limit_of_transaction(connection: Any) -> Iterator[None]:
    """PostgreSQL's: a pooler may give what comes after the transaction to another session."""
    with transaction.atomic(connection.alias):
        _execute(connection, "SET LOCAL lock_timeout = '200ms'")
        yield


@contextmanager
def _limit_of_session(connection: Any) -> Iterator[None]:
    """MySQL's, in whole seconds."""
    _execute(connection, "SET SESSION lock_wait_timeout = 1")
    try:
        yield
    finally:
        _execute(connection, "SET SESSION lock_wait_timeout = DEFAULT")


LIMITS = {"postgresql": _limit_of_transaction, "mysql": _limit_of_session}


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
