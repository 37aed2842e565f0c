"""What the server's loop does with a connection in cases that a client cannot bring about at will.

Its threads are a queue that nobody takes from.
"""

from __future__ import annotations

import logging
import math
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from memory_api.server.connection import Connection, State
from memory_api.server.connections import Connections
from memory_api.server.loop import CONTINUE, Loop
from memory_api.server.queue import Job, RequestQueue
from tests.wire import head

INFER = "/v2/models/memory/infer"
MAX_BUFFERED = 10_000


class Nobody:
    """Threads that are all busy."""

    def __init__(self) -> None:
        self.queue = RequestQueue(0, patience=math.inf)

    def is_overloaded(self) -> bool:
        return self.queue.is_overloaded()

    def serve_later(self, connection: Connection) -> bool:
        return self.queue.put(Job(connection))

    def withdraw(self, connection: Connection) -> bool:
        return self.queue.withdraw(connection)

    def go_on_later(self, connection: Connection) -> None:
        """Nothing is served, so nothing comes after it."""


class Clients:
    """A loop, and clients that are connected to it."""

    def __init__(self) -> None:
        self.connections = Connections(10, MAX_BUFFERED)
        self.loop = Loop(Config(), logging.getLogger(), self.connections, Nobody())
        self.sockets: list[socket.socket] = []

    def connect(self) -> tuple[Connection, socket.socket]:
        ours, clients = socket.socketpair()
        clients.settimeout(10)
        self.sockets += ours, clients
        self.loop.add(ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        connection = self.connections.get(ours.fileno())
        assert connection
        return connection, clients

    def close(self) -> None:
        self.connections.epoll.close()
        for connection in self.connections:
            connection.drop_request()
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    clients = Clients()
    yield clients
    clients.close()


def post(size: int, **headers: str) -> bytes:
    return head("POST", INFER, content_length=str(size), **headers)


def test_a_body_that_waits_for_a_thread_goes_when_too_much_is_buffered(clients):
    waiting, its_client = clients.connect()
    clients.loop.feed(waiting, post(6_000) + b" " * 6_000)
    assert waiting.state is State.QUEUED
    coming, _ = clients.connect()
    clients.loop.feed(coming, post(9_000) + b" " * 5_000)
    clients.loop.shed()
    assert b" 503 " in its_client.recv(100)
    assert coming.state is State.RECEIVING


def test_what_a_client_sent_after_its_request_counts_as_buffered(clients):
    connection, _ = clients.connect()
    clients.loop.feed(connection, post(0) + b"x" * 500)
    clients.loop.refuse_later(connection)
    assert connection.held == 500


def test_a_client_that_reads_late_is_told_to_send_its_body(clients):
    connection, client = clients.connect()
    with suppress(BlockingIOError):
        while True:
            connection.sock.send(b"x")
    clients.loop.feed(connection, post(2, expect="100-continue"))
    while select.select([client], [], [], 0)[0]:
        client.recv(1 << 16)
    clients.loop.go_on(connection)
    assert client.recv(100) == CONTINUE
    client.send(b"{}")
    clients.loop.go_on(connection)
    assert connection.state is State.QUEUED


def test_when_the_service_stops_nobody_keeps_an_idle_connection(clients):
    now = time.monotonic()
    clients.loop.stop(now)
    # A thread that had read how long a connection is kept may say so only now.
    connection, _ = clients.connect()
    connection.enter(State.IDLE, now, 1_000)
    clients.loop.sweep(now + STOP_KEEPALIVE_LINGER / 2)
    assert len(clients.connections) == 1
    clients.loop.sweep(now + STOP_KEEPALIVE_LINGER)
    assert len(clients.connections) == 0
