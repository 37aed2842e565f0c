"""A lock that threads get in the order in which they ask for it.

SQLite admits one writer at a time and lets the others poll, so that some starve for
seconds. Python's own lock does not promise an order either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class FairLock:
    """First come, first served among the threads of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def acquire(self, *, timeout: float) -> Iterator[None]:
        """Hold the lock. Raises TimeoutError after `timeout` seconds of waiting."""
        self._wait_for_turn(timeout)
        try:
            yield
        finally:
            self._release()

    def _wait_for_turn(self, timeout: float) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout):
            return
        with self._guard:
            # The lock may have been handed over after the wait ended.
            if turn.is_set():
                return
            self._waiting.remove(turn)
        raise TimeoutError

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # handed over, so it stays held
            else:
                self._held = False
