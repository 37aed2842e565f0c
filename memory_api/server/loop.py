"""What the loop does with a connection: receive, send, and end what takes too long."""

from __future__ import annotations

import math
import socket
import struct
import time
from typing import Any

from django.conf import settings
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from convstore.request_log import request_id_for
from memory_api.errors import RequestError
from memory_api.server import refusals
from memory_api.server.connection import Connection, State
from memory_api.server.connections import Connections
from memory_api.server.incoming import LINE_END, IncomingRequest
from memory_api.server.overload import HeldRefusals, is_plain_request, request_id_in
from memory_api.server.queue import Threads

RECEIVED_AT_ONCE = 64 * 1024
# After the last reply we keep reading for this long: if a socket is closed with unread input, the
# kernel may discard the reply.
CLOSING_SECONDS = 2
MAX_DISCARDED = 1024 * 1024
RESET = struct.pack("ii", 1, 0)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Loop:
    """Worker threads call only `send_reply`. All other methods run in the loop's thread."""

    def __init__(self, cfg: Any, log: Any, connections: Connections, threads: Threads) -> None:
        self._cfg, self._log = cfg, log
        self._connections = connections
        self._threads = threads
        self._stopped_at = math.inf
        self.refusals = HeldRefusals()

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
        if connection.state in (State.QUEUED, State.IN_THREAD, State.REFUSED):
            return
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
            self._handle_input(connection, data)

    def _handle_input(self, connection: Connection, data: bytes) -> None:
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
        if connection.incoming is None and self._handle_without_parser(connection, data):
            return
        incoming = connection.incoming or self._begin_request(connection)
        had_head = incoming.message is not None
        try:
            incoming.feed(data)
        except (ParseException, RequestError) as error:
            self.refuse(connection, *refusals.refusal(error, self._cfg))
            return
        self._connections.count(connection)
        if incoming.is_whole:
            connection.enter(State.QUEUED, time.monotonic())
            if not self._threads.serve_later(connection):
                self.refuse_later(connection)
        elif incoming.message and not had_head:
            self._begin_body(connection, incoming)
        else:
            self._connections.await_input(connection)

    def _handle_without_parser(self, connection: Connection, data: bytes) -> bool:
        """Handle the data without gunicorn's parser if possible.

        Return whether nothing is left to do.
        """
        if data == LINE_END:  # some old clients send it after a body
            self._await_request(connection)
            return True
        if self._threads.is_overloaded() and is_plain_request(data):
            connection.request_id = request_id_in(data)
            self.refuse_later(connection)
            return True
        return False

    def feed_left_over(self, connection: Connection) -> None:
        data, connection.left_over = connection.left_over, b""
        self.feed(connection, data)

    def _await_request(self, connection: Connection) -> None:
        if connection.state is not State.IDLE:
            connection.enter(State.IDLE, time.monotonic(), self._cfg.keepalive)
        self._connections.await_input(connection)

    def _begin_request(self, connection: Connection) -> IncomingRequest:
        connection.requests += 1
        connection.enter(State.RECEIVING, time.monotonic(), settings.CLIENT_TIMEOUT)
        connection.incoming = IncomingRequest(
            self._cfg, connection.client, connection.requests, settings.MAX_BODY_BYTES
        )
        return connection.incoming

    def _begin_body(self, connection: Connection, incoming: IncomingRequest) -> None:
        if incoming.waits_for_continue:
            connection.set_reply([CONTINUE])
            self.send_reply(connection)
        else:
            self._await_body(connection)

    def _await_body(self, connection: Connection) -> None:
        timeouts = settings.CLIENT_TIMEOUT, settings.BODY_TIMEOUT
        connection.enter(State.RECEIVING, time.monotonic(), *timeouts)
        self._connections.await_input(connection)

    # --- Replies ---------------------------------------------------------------------

    def refuse(
        self, connection: Connection, status: int, sentence: str, *, closes: bool = True
    ) -> None:
        """Send an error reply; no view runs."""
        if connection.incoming:
            connection.request_id = connection.incoming.request_id
        request_id = connection.request_id = request_id_for(connection.request_id)
        refusals.note_refusal(connection.client, request_id, status, sentence)
        connection.drop_request()
        reply = refusals.error_reply(status, sentence, request_id, closes=closes)
        connection.set_reply([reply])
        connection.closes_after_reply = closes
        self.send_reply(connection)

    def refuse_later(self, connection: Connection) -> None:
        """Refuse a whole request for overload, so that the connection can go on after it."""
        connection.closes_after_reply = False
        if incoming := connection.incoming:
            message = incoming.message
            connection.request_id = incoming.request_id
            connection.left_over = incoming.rest()
            connection.closes_after_reply = message.should_close() or message.method == "HEAD"
            connection.drop_request()
        self._connections.count(connection)
        now = time.monotonic()
        connection.enter(State.REFUSED, now)
        self.refusals.add(connection, now)

    def refuse_overload(self, connection: Connection) -> None:
        closes = connection.closes_after_reply
        self.refuse(connection, 503, refusals.OVERLOADED, closes=closes)

    def send_reply(self, connection: Connection) -> None:
        """Send what the client takes of the reply; then go on to what comes after it.

        That may be the body, where the reply is 100 Continue.
        """
        try:
            is_sent = connection.send()
        except OSError:
            self._cut_reply(connection)
            return
        self._connections.count(connection)
        if not is_sent:
            if connection.state is not State.SENDING:
                timeouts = settings.CLIENT_TIMEOUT, settings.REPLY_TIMEOUT
                connection.enter(State.SENDING, time.monotonic(), *timeouts)
            self._connections.await_output(connection)
        elif connection.incoming:
            self._await_body(connection)
        elif connection.closes_after_reply:
            self._say_goodbye(connection)
        elif connection.left_over:
            self._threads.go_on_later(connection)
        else:
            self._await_request(connection)

    def _cut_reply(self, connection: Connection) -> None:
        refusals.note_cut(connection.client, connection.request_id, connection.since)
        self._connections.close(connection)

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
            if now >= self._deadline_of(connection):
                self._expire(connection, now)

    def stop(self, now: float) -> None:
        """From now on, wait only a little for a further request of a connection."""
        self._stopped_at = now

    def _deadline_of(self, connection: Connection) -> float:
        if connection.state is not State.IDLE:
            return connection.deadline
        # A thread can make the connection idle before or after `stop` was called.
        linger: float = STOP_KEEPALIVE_LINGER
        return min(connection.deadline, max(connection.since, self._stopped_at) + linger)

    def shed(self) -> None:
        """Give up the largest requests and replies while too many bytes are buffered."""
        while largest := self._connections.largest_above_limit():
            if largest.state is not State.QUEUED or self._threads.withdraw(largest):
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
            self._cut_reply(connection)
        else:
            self.refuse(connection, status, sentence)
