"""One client's connection: what it is waited for, until when, and what it has yet to read."""

from __future__ import annotations

import fcntl
import math
import socket
import struct
import termios
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

from memory_api.server.incoming import IncomingRequest


def unread_bytes(sock: socket.socket) -> int:
    """How many bytes the system holds for a client that has not yet taken them."""
    size: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]
    return size


class State(Enum):
    IDLE = auto()  # no byte of a request has come
    RECEIVING = auto()  # some bytes of a request have come
    QUEUED = auto()  # its request waits for a thread
    IN_THREAD = auto()  # a thread serves its request; the loop leaves it alone
    REFUSED = auto()  # it will be told in a moment
    SENDING = auto()  # the client has not yet read its reply
    CLOSING = auto()  # the client was told that nothing more comes


class Connection:
    """A socket and its state. The loop has it, or, while it is IN_THREAD, one thread."""

    def __init__(self, sock: socket.socket, client: Any, server: Any) -> None:
        self.sock, self.client, self.server = sock, client, server
        self.number = sock.fileno()
        self.requests = 0
        self.incoming: IncomingRequest | None = None
        # Of a request that will be refused, as it was sent; or of the reply that is being sent.
        self.request_id: str | None = None
        self.left_over = b""  # what the client sent after the request that is served
        self.unsent: list[memoryview] = []
        self.closes_after_reply = False
        self.held = 0  # bytes that are buffered for it
        self.state = State.IDLE
        self.since = self.deadline = self.end = 0.0
        self.moved = 0  # bytes in either direction since the deadline was set
        self.unread = 0  # what the client had yet to take then

    def enter(
        self, state: State, now: float, seconds: float = math.inf, total: float | None = None
    ) -> None:
        """Begin a state that may last for `seconds`, or, with enough progress, for `total`."""
        self.since = now
        self.end = now + (seconds if total is None else total)
        self._begin_period(now, seconds, unread_bytes(self.sock) if state is State.SENDING else 0)
        # The last step: by the state, the loop knows whether the rest concerns it.
        self.state = state

    def extend(self, now: float, seconds: float, least: int) -> bool:
        """Set the deadline anew if at least so many bytes a second moved; whether it was."""
        # The system takes a reply in large steps; that it holds less shows that a client reads.
        unread = unread_bytes(self.sock) if self.state is State.SENDING else 0
        if now >= self.end or self.moved + self.unread - unread < least * seconds:
            return False
        self._begin_period(now, seconds, unread)
        return True

    def _begin_period(self, now: float, seconds: float, unread: int) -> None:
        self.deadline = min(now + seconds, self.end)
        self.moved = 0
        self.unread = unread

    @property
    def size(self) -> int:
        """How many bytes are buffered for it."""
        received = self.incoming.received if self.incoming else 0
        return received + len(self.left_over) + sum(map(len, self.unsent))

    def drop_request(self) -> None:
        if self.incoming:
            self.incoming.body.close()
            self.incoming = None

    def set_reply(self, pieces: Iterable[bytes]) -> None:
        self.unsent = [memoryview(piece) for piece in pieces if piece]

    def send(self) -> bool:
        """Send as much as the socket takes; whether that was all. Raises OSError."""
        try:
            sent = self.sock.sendmsg(self.unsent) if self.unsent else 0
        except BlockingIOError:
            return False
        self.moved += sent
        while self.unsent and sent >= len(self.unsent[0]):
            sent -= len(self.unsent.pop(0))
        if self.unsent:
            self.unsent[0] = self.unsent[0][sent:]
            return False
        self.request_id = None
        return True
