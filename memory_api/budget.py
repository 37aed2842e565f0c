"""How many bytes of bodies a process works on at once: its memory is many times that."""

from __future__ import annotations

import threading
from collections import deque

from django.conf import settings

from convstore.errors import Unavailable

_lock = threading.Lock()
_taken = 0
# What was given back since the last `take`. Python may run a finalizer anywhere, also in the
# middle of `take` in the same thread, so giving back must wait for no lock.
_given_back: deque[int] = deque()


class Share:
    """What one request has taken of MAX_BYTES_IN_WORK; it is given back at the end of `with`."""

    def __init__(self) -> None:
        self._size = 0

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *error: object) -> None:
        self.give_back()

    def take(self, size: int) -> None:
        """Take more. Raises Unavailable if others have too much for that.

        Whoever is alone may take anything, since other limits hold for one request.
        """
        global _taken
        with _lock:
            while _given_back:
                _taken -= _given_back.popleft()
            others = _taken - self._size
            if others and _taken + size > settings.MAX_BYTES_IN_WORK:
                raise Unavailable("too many large requests are being served; try again")
            _taken += size
            self._size += size

    def give_back(self) -> None:
        size, self._size = self._size, 0
        _given_back.append(size)
