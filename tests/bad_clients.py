"""Clients that are slow, silent or broken, many at once, each kept so by one thread of ours."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil

from testing.bodies import read_request
from testing.processes import Process, process_group
from tests.wire import CHUNKED, head

TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Kind:
    """What a client sends at once, and then each TICK_SECONDS."""

    first: bytes = b""
    then: bytes = b""
    closes_its_side: bool = False
    stays: bool = True  # until its time is over
    told: tuple[int, ...] = ()  # the statuses with which it is sent away


def kinds(infer: str, large_id: str) -> dict[str, Kind]:
    read = json.dumps(read_request(large_id)).encode()
    sized = head("POST", infer, content_type="application/json", content_length=str(len(read)))
    live = head("GET", "/v2/health/live")
    values = gzip.compress(b'{"parameters": {"x": [' + b"[], " * 99_000 + b"[]]}}")
    length = str(len(values))
    zipped = head("POST", infer, content_length=length, content_encoding="gzip") + values
    return {
        "silent": Kind(),
        "slow head": Kind(b"GET /v2 HTTP/1.1\r\nX: ", b"a", told=(408,)),
        "slow body": Kind(head("POST", infer, content_length="100000"), b" ", told=(408,)),
        "slow chunks": Kind(head("POST", infer, **CHUNKED), b"1\r\n \r\n", told=(408,)),
        "no reader": Kind(sized + read),
        "idle": Kind(live),
        "half a body, half closed": Kind(sized + read[:9], closes_its_side=True, stays=False),
        "many requests, no reader": Kind(live * 300),
        "many values in few bytes": Kind(zipped, stays=False),
        "garbage after a request": Kind(live + b"\0garbage\r\n\r\n" * 99, stays=False),
    }


KINDS = tuple(kinds("", ""))


class BadClients:
    """So many connections of a kind. Their receive buffers are small, for replies to fill them."""

    def __init__(self, service: Process, kind: Kind, count: int) -> None:
        self.kind = kind
        self.sockets = [self._connect(service) for _ in range(count)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Self:
        for sock in self.sockets:
            self._send(sock, self.kind.first)
            if self.kind.closes_its_side:
                sock.shutdown(socket.SHUT_WR)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for sock in self.sockets:
            sock.close()

    def statuses(self) -> list[int]:
        """What each client is told until its connection ends."""
        return [self._status(sock) for sock in self.sockets]

    def _connect(self, service: Process) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", service.port))
        return sock

    def _go_on(self) -> None:
        while self.kind.then and not self._over.wait(TICK_SECONDS):
            for sock in self.sockets:
                self._send(sock, self.kind.then)

    def _send(self, sock: socket.socket, data: bytes) -> None:
        with suppress(OSError):  # it was sent away
            sock.send(data)

    def _status(self, sock: socket.socket) -> int:
        with sock.makefile("rb") as file, suppress(OSError):
            line = file.readline()
            return int(line.split()[1]) if line else 0
        return 0


def open_connections(service: Process) -> int:
    """How many clients the service's processes hold a socket for."""
    found = set()
    for process in process_group(service.process.pid):
        with suppress(psutil.Error):
            found |= {
                (process.pid, connection.fd)
                for connection in process.net_connections("tcp")
                if connection.laddr.port == service.port and connection.raddr
            }
    return len(found)
