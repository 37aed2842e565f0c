"""A reply while a thread makes it: collected, to be sent at once, or a stream."""

from __future__ import annotations

import socket
import threading

from memory_api.server.connection import unread_bytes

# A reply that is still being made after so many bytes is a stream: its thread sends it.
MAX_COLLECTED = 4 * 1024 * 1024
MAX_PIECES = 8  # sent without a copy
SENT_AT_ONCE = 64 * 1024


class NoStreamLeft(OSError):
    """Too many threads are held by streams already."""


class ReplySocket:
    """What gunicorn's Response writes to, as if it were the socket.

    The client of a stream has to take `least` bytes in each `patience` seconds. `since` is when
    its request was whole.
    """

    def __init__(
        self,
        sock: socket.socket,
        streams: threading.Semaphore,
        patience: float,
        least: float,
        since: float = 0.0,
    ) -> None:
        self.since = since
        self.request_id: str | None = None  # which the application sets
        self._sock = sock
        self._streams = streams
        self._patience = patience
        self._least = least
        self._size = 0
        self.pieces: list[bytes] = []
        self.is_stream = False

    def sendall(self, data: bytes) -> None:
        if self._size > MAX_COLLECTED and not self.is_stream:
            self._begin_stream()
        if self.is_stream:
            self._send(data)
        else:
            self._size += len(data)
            self.pieces.append(data)

    def replace(self, whole: bytes) -> None:
        """Reply with something else, unless parts of the reply have been sent."""
        self.pieces = [] if self.is_stream else [whole]

    def chunks(self) -> list[bytes]:
        return self.pieces if len(self.pieces) <= MAX_PIECES else [b"".join(self.pieces)]

    def end_stream(self) -> None:
        if self.is_stream:
            self._sock.setblocking(False)
            self._streams.release()

    def shutdown(self, how: int) -> None:
        raise OSError("the connection is not gunicorn's to close")

    def close(self) -> None:
        """gunicorn closes what fails; the worker does it here."""

    def _begin_stream(self) -> None:
        if not self._streams.acquire(blocking=False):
            raise NoStreamLeft
        self.is_stream = True
        self._sock.settimeout(self._patience)
        pieces, self.pieces = self.pieces, []
        self._send(b"".join(pieces))

    def _send(self, data: bytes) -> None:
        """Send to a stream. Raises TimeoutError unless the client reads."""
        rest = memoryview(data)
        while rest:
            unread = unread_bytes(self._sock)
            try:
                rest = rest[self._sock.send(rest[:SENT_AT_ONCE]) :]
            except TimeoutError:
                if unread - unread_bytes(self._sock) < self._least:
                    raise
