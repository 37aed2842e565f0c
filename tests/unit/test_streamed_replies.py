"""A reply that is a stream goes on for as long as its client reads, and ends when it does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from memory_api.server.replies import MAX_COLLECTED, NoStreamLeft, ReplySocket

pytestmark = pytest.mark.slow

PATIENCE = 2
PIECE = b"x" * (MAX_COLLECTED + 1)
READ_AT_ONCE = 64 * 1024


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, clients = socket.socketpair()
    with ours, clients:
        yield ours, clients


def reply_to(client: socket.socket, streams: int = 1) -> ReplySocket:
    return ReplySocket(client, threading.Semaphore(streams), PATIENCE, 1000 * PATIENCE)


def test_a_client_that_reads_slowly_gets_all_of_a_stream(sockets):
    ours, clients = sockets
    received = []

    def read_slowly() -> None:
        while data := clients.recv(READ_AT_ONCE):
            received.append(len(data))
            time.sleep(0.02)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    begun = time.monotonic()
    reply = reply_to(ours)
    for _ in range(3):
        reply.sendall(PIECE)
    assert time.monotonic() - begun > PATIENCE  # or nothing was shown
    reply.end_stream()
    ours.shutdown(socket.SHUT_WR)
    reader.join()
    assert sum(received) == 3 * len(PIECE)


def test_a_stream_ends_when_its_client_does_not_read(sockets):
    reply = reply_to(sockets[0])
    reply.sendall(PIECE)
    with pytest.raises(TimeoutError):
        reply.sendall(PIECE)


def test_only_so_many_replies_are_streams_at_once(sockets):
    reply = reply_to(sockets[0], streams=0)
    reply.sendall(PIECE)
    with pytest.raises(NoStreamLeft):
        reply.sendall(PIECE)
