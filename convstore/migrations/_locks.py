"""Changes of a table that wait for no lock; Django skips modules whose name begins with `_`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from django.db import OperationalError

from convstore.database.brief_locks import try_until_locked
from convstore.database.fault import BUSY
from convstore.database.faults import classify
from convstore.database.postgresql import indexes as postgresql


def change_briefly(connection: Any, change: Callable[[], object]) -> None:
    """Run a change of a table that locks it for a moment, until it gets its lock.

    It is to be one statement, outside of a transaction.
    """
    if connection.vendor == "postgresql":
        postgresql.change_briefly(connection, change)
        return
    limit: Any = _limit_of_session if connection.vendor == "mysql" else nullcontext
    try_until_locked(change, partial(limit, connection), partial(_is_busy, connection.alias))


def _is_busy(alias: str, error: OperationalError) -> bool:
    return classify(alias, error) == BUSY


@contextmanager
def _limit_of_session(connection: Any) -> Iterator[None]:
    """MySQL's, in whole seconds."""
    _execute(connection, "SET SESSION lock_wait_timeout = 1")
    try:
        yield
    finally:
        _execute(connection, "SET SESSION lock_wait_timeout = DEFAULT")


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
