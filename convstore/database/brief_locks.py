"""Locks that a change of a table takes for a moment.

A change of a table waits for every transaction that uses it, such as that of a backup, and
all who come later wait behind the change. So it must not wait for long, but give up, let the
others through, and try again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from django.db import OperationalError

PAUSE_SECONDS = 1


def try_until_locked(
    change: Callable[[], object],
    limit: Callable[[], AbstractContextManager[None]],
    is_busy: Callable[[OperationalError], bool],
) -> None:
    """Run a change inside of `limit()`, which bounds its wait, until it gets its lock."""
    while not _succeeds(change, limit, is_busy):
        time.sleep(PAUSE_SECONDS)


def _succeeds(
    change: Callable[[], object],
    limit: Callable[[], AbstractContextManager[None]],
    is_busy: Callable[[OperationalError], bool],
) -> bool:
    try:
        with limit():
            change()
    except OperationalError as error:
        if is_busy(error):
            return False
        raise
    return True
