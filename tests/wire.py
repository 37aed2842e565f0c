"""One connection to a service, byte by byte: what is sent, and what exactly comes back."""

from __future__ import annotations

import http.client
import json
import socket
from email.message import Message
from typing import Any, NamedTuple, Self

from testing.processes import Process

INFER = "/v2/models/memory/infer"


class Reply(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def document(self) -> Any:
        assert self.headers["Content-Type"] == "application/json", self
        return json.loads(self.body)


class Wire:
    """One connection to a service, never opened a second time."""

    def __init__(self, service: Process) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, *data: bytes) -> None:
        for each in data:
            self.socket.sendall(each)

    def reply(self, method: str = "POST") -> Reply | None:
        """The next reply; None when the connection was closed before it."""
        try:
            first = self.file.readline()
        except ConnectionError:
            return None
        if not first:
            return None
        version, status, _ = first.split(b" ", 2)
        assert version == b"HTTP/1.1", first
        headers = http.client.parse_headers(self.file)
        length = 0 if method == "HEAD" else int(headers["Content-Length"])
        body = self.file.read(length)
        assert len(body) == length
        return Reply(int(status), headers, body)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        headers = {"Content-Length": str(len(body)), **headers}
        self.send(head(method, path, **headers), body)
        reply = self.reply(method)
        assert reply, "the connection was closed"
        return reply

    def infer(self, document: object, path: str = INFER, **headers: str) -> Reply:
        return self.ask("POST", path, json.dumps(document).encode(), **headers)

    def reply_after(self, body: bytes, path: str = INFER) -> Reply | None:
        """The reply to one more inference; None when the connection is closed by now."""
        try:
            self.send(head("POST", path, content_length=str(len(body))), body)
        except ConnectionError:
            return None
        return self.reply()

    def is_closed(self) -> bool:
        """Whether nothing comes any more."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


def head(method: str, path: str, **headers: str) -> bytes:
    """Header names are Python names: content_length."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%X\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"
CHUNKED = {"transfer_encoding": "chunked"}
