"""A lock that is given in the order in which it was asked for.

SQLite lets one writer in at a time and makes the others poll, so that some starve for
seconds; Python's own lock promises no order either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class FairLock:
    """First come, first served, among the threads of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def held(self, *, timeout: float) -> Iterator[None]:
        """Hold the lock; TimeoutError after `timeout` seconds of waiting."""
        self._acquire(timeout)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, timeout: float) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout):
            return
        with self._guard:
            # Between the end of the wait and here the lock may have been handed to us.
            if turn.is_set():
                return
            self._waiting.remove(turn)
        raise TimeoutError

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # handed over: it stays held
            else:
                self._held = False
