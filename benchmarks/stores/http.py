"""A V2 service over HTTP as a store: one connection for each thread, by a bare socket.

The client shares its machine with the service, so it does as little as it can: it joins a
request out of texts and reads an answer by its length.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from benchmarks.scenario import TextMessage

HEAD = (
    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)
TENSOR = '{{"name":"{}","shape":[1],"datatype":"BYTES","data":["{}"]}}'
LENGTH = b"content-length:"
TIMEOUT = 5


class V2Session:
    """The tensors of a request, however they are sent by `_infer`."""

    def append(self, conversation: str, message: TextMessage, window: int) -> Any:
        return self._infer(
            window,
            memory_id=conversation,
            role=message.role,
            content=message.text,
            type=message.kind,
        )

    def read(self, conversation: str, window: int) -> Any:
        return self._infer(window, memory_id=conversation)

    def _infer(self, window: int, **tensors: str) -> Any:
        raise NotImplementedError


class Session(V2Session):
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.path = parts.netloc, parts.path
        self.address = parts.hostname or "", parts.port or 80
        self.socket: socket.socket | None = None

    def elements(self, answer: bytes) -> list[str]:
        outputs = json.loads(answer)["outputs"]
        data: list[str] = next(each["data"] for each in outputs if each["name"] == "history")
        return data

    def close(self) -> None:
        if self.socket:
            self.socket.close()
            self.socket = None

    def _infer(self, window: int, **tensors: str) -> bytes:
        """The body of the answer. Raises OSError for no answer, or one that is not 200."""
        inputs = ",".join(TENSOR.format(name, text) for name, text in tensors.items())
        body = f'{{"parameters":{{"window_size":{window}}},"inputs":[{inputs}]}}'
        head = HEAD.format(path=self.path, host=self.host, length=len(body))
        if not self.socket:
            self.socket = socket.create_connection(self.address, TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.sendall(f"{head}{body}".encode())
            return self._answer(self.socket)
        except OSError:
            self.close()
            raise

    def _answer(self, connection: socket.socket) -> bytes:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += _some(connection)
        head = received[:end].lower()
        length = int(head.partition(LENGTH)[2].partition(b"\r\n")[0])
        body = bytearray(received[end + 4 :])
        while len(body) < length:
            body += _some(connection)
        if not head.startswith(b"http/1.1 200"):
            raise OSError(f"{head.decode()}\n{body[:500]!r}")
        return bytes(body)


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 18)
    if not received:
        raise ConnectionError("the service closed the connection")
    return received


class Store:
    exact = True

    def __init__(self, url: str) -> None:
        self.url = url

    def session(self) -> Session:
        return Session(self.url)

    def fill(self, conversation: str, messages: Sequence[TextMessage], copies: int) -> None:
        """Nothing to do: the store behind the door is filled in process."""


class UnpinnedStore(Store):
    """The same, of a service that does not pin a conversation's first message."""

    exact = False
