"""What the loop does with a connection: receive, send, and end what takes too long."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.conf import settings
from gunicorn.http.errors import ParseException

from memory_api import http_metrics
from memory_api.errors import TooLarge, quote
from memory_api.server import refusals
from memory_api.server.connection import Connection, State
from memory_api.server.connections import Connections
from memory_api.server.incoming import IncomingRequest

RECEIVED_AT_ONCE = 64 * 1024
# A client that was told of the end may go on sending for so long: when a socket is closed with
# unread input, the system may drop the reply, too.
CLOSING_SECONDS = 2
MAX_DISCARDED = 1024 * 1024
RESET = struct.pack("ii", 1, 0)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Loop:
    """`serve` is called with a connection whose request is whole.

    Threads call `send_reply` for the connection that they served; all else is the loop's alone.
    """

    def __init__(
        self,
        cfg: Any,
        log: Any,
        connections: Connections,
        serve: Callable[[Connection], None],
        go_on_later: Callable[[Connection], None],
    ) -> None:
        self._cfg, self._log = cfg, log
        self._connections = connections
        self._serve = serve
        self._go_on_later = go_on_later
        self.keepalive: float = cfg.keepalive

    def add(self, sock: socket.socket, client: Any, server: Any) -> None:
        sock.setblocking(False)
        now = time.monotonic()
        connection = Connection(sock, client, server)
        has_room = self._connections.make_room(now)
        connection.enter(State.IDLE, now, settings.CLIENT_TIMEOUT)
        self._connections.add(connection)
        if not has_room:
            self.refuse(connection, 503, refusals.TOO_MANY_CONNECTIONS)

    def go_on(self, connection: Connection) -> None:
        """Do what the socket is ready for."""
        if connection.state is State.SERVED:
            return  # a thread has it
        if connection.state is State.SENDING:
            self.send_reply(connection)
            return
        try:
            data = connection.sock.recv(RECEIVED_AT_ONCE)
        except BlockingIOError:
            self._connections.await_input(connection)
        except OSError:
            self._connections.close(connection)
        else:
            self._received(connection, data)

    def _received(self, connection: Connection, data: bytes) -> None:
        connection.moved += len(data)
        if connection.state is State.CLOSING and data and connection.moved < MAX_DISCARDED:
            self._connections.await_input(connection)
        elif connection.incoming and not data:
            self.refuse(connection, 400, refusals.CUT_SHORT)
        elif connection.state is State.CLOSING or not data:
            self._connections.close(connection)
        else:
            self.feed(connection, data)

    # --- Requests --------------------------------------------------------------------

    def feed(self, connection: Connection, data: bytes) -> None:
        incoming = connection.incoming or self._begin_request(connection)
        had_head = incoming.message is not None
        try:
            incoming.feed(data)
        except (ParseException, TooLarge) as error:
            self._log.info("Refused a request of %s: %s", connection.client, quote(str(error)))
            self.refuse(connection, *refusals.refusal(error))
            return
        self._connections.hold(connection, incoming.received)
        if incoming.is_whole:
            connection.enter(State.SERVED, time.monotonic())
            self._serve(connection)
        else:
            if incoming.message and not had_head:
                self._begin_body(connection, incoming)
            self._connections.await_input(connection)

    def feed_left_over(self, connection: Connection) -> None:
        data, connection.left_over = connection.left_over, b""
        self.feed(connection, data)

    def _begin_request(self, connection: Connection) -> IncomingRequest:
        connection.requests += 1
        connection.enter(State.RECEIVING, time.monotonic(), settings.CLIENT_TIMEOUT)
        connection.incoming = IncomingRequest(
            self._cfg, connection.client, connection.requests, settings.MAX_BODY_BYTES
        )
        return connection.incoming

    def _begin_body(self, connection: Connection, incoming: IncomingRequest) -> None:
        timeouts = settings.CLIENT_TIMEOUT, settings.BODY_TIMEOUT
        connection.enter(State.RECEIVING, time.monotonic(), *timeouts)
        if incoming.waits_for_continue:
            with suppress(OSError):  # where it is gone, the next read tells
                connection.sock.send(CONTINUE)

    # --- Replies ---------------------------------------------------------------------

    def refuse(
        self, connection: Connection, status: int, sentence: str, *, closes: bool = True
    ) -> None:
        """Answer in the place of a view."""
        http_metrics.count_refusal(status)
        connection.drop_request()
        connection.set_reply([refusals.error_reply(status, sentence, closes=closes)])
        connection.closes_after_reply = closes
        self.send_reply(connection)

    def send_reply(self, connection: Connection) -> None:
        """Send what the client takes of the reply; then go on to what comes after it."""
        try:
            is_sent = connection.send()
        except OSError:
            self._connections.close(connection)
            return
        self._connections.hold(connection, sum(map(len, connection.unsent)))
        if not is_sent:
            if connection.state is not State.SENDING:
                timeouts = settings.CLIENT_TIMEOUT, settings.REPLY_TIMEOUT
                connection.enter(State.SENDING, time.monotonic(), *timeouts)
            self._connections.await_output(connection)
        elif connection.closes_after_reply:
            self._say_goodbye(connection)
        elif connection.left_over:
            self._go_on_later(connection)
        else:
            connection.enter(State.IDLE, time.monotonic(), self.keepalive)
            self._connections.await_input(connection)

    def _say_goodbye(self, connection: Connection) -> None:
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._connections.close(connection)
            return
        connection.enter(State.CLOSING, time.monotonic(), CLOSING_SECONDS)
        self._connections.await_input(connection)

    # --- What takes too long or too much ---------------------------------------------

    def sweep(self, now: float) -> None:
        for connection in self._connections:
            if now >= connection.deadline:
                self._expire(connection, now)

    def shed(self) -> None:
        """Give up the largest requests and replies while too many bytes are buffered."""
        while largest := self._connections.largest_above_limit():
            self._give_up(largest, 503, refusals.TOO_MANY_BYTES)

    def _expire(self, connection: Connection, now: float) -> None:
        incoming = connection.incoming
        if connection.state in (State.IDLE, State.CLOSING):
            self._connections.close(connection)
        elif incoming and not incoming.message:
            late = refusals.HEAD_LATE.format(settings.CLIENT_TIMEOUT)
            self._give_up(connection, 408, late)
        elif not connection.extend(now, settings.CLIENT_TIMEOUT, settings.MIN_BYTES_PER_SECOND):
            least = settings.MIN_BYTES_PER_SECOND
            self._give_up(connection, 408, refusals.BODY_LATE.format(least, settings.BODY_TIMEOUT))

    def _give_up(self, connection: Connection, status: int, sentence: str) -> None:
        if connection.state is State.SENDING:
            # Otherwise the system would go on to offer what it has buffered.
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._connections.close(connection)
        else:
            self.refuse(connection, status, sentence)
