"""Clients that write without pause through every door at once, each through one of them.

The doors are V2 over HTTP, MLServer's REST and gRPC, the Conversations API, and the Python store,
in this process.
"""

from __future__ import annotations

import json
import sys
import time
from http.client import HTTPConnection, HTTPException
from typing import Any

from django.db import connections

from convstore.database.url import database_alias
from convstore.errors import Unavailable
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from testing.mlserver import MLServer
from testing.processes import Process
from tests.soak.checker import WINDOW, Acknowledged, Failed, Text
from tests.soak.load import (
    ANSWER_SECONDS,
    HOT,
    MEMORY,
    QUIET,
    UNAVAILABLE,
    Client,
    Load,
    Writer,
    status_of,
    way,
)
from tests.soak.mlserver_load import GrpcClient, RestClient

API = f"/memories/{MEMORY}/v1/conversations"
DOORS = ("http", "rest", "grpc", "conversations", "python")


class AllDoors(Load):
    """A Load on the database at `url` whose client n uses the door n of DOORS, counted round."""

    def __init__(self, service: Process, mlserver: MLServer, url: str, clients: int) -> None:
        super().__init__(service.url, clients=clients)
        self.mlserver, self.url = mlserver, url
        # Items are only added to a conversation that is there.
        store = ConversationStore(database_alias(url))
        for memory_id in (HOT, *QUIET):
            store.create(memory_id)

    def client(self, number: int) -> Writer:
        match DOORS[number % len(DOORS)]:
            case "http":
                return Client(self.address)
            case "rest":
                return RestClient(self.mlserver.url.removeprefix("http://"), lambda: MEMORY)
            case "grpc":
                return GrpcClient(f"127.0.0.1:{self.mlserver.grpc_port}", lambda: MEMORY)
            case "conversations":
                return ConversationsClient(self.address)
            case _:
                return StoreClient(self.url)

    def acknowledged_at(self, door: str) -> int:
        number = DOORS.index(door)
        return sum(each.text.client % len(DOORS) == number for each in self.acknowledged)


class ConversationsClient:
    """Says one text at a time as an item; the window is the page that ends in it."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(address, timeout=ANSWER_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def say(self, text: Text) -> Acknowledged | Failed:
        sent = time.monotonic()
        item = {"role": "user", "content": [{"type": "input_text", "text": text.value}]}
        added = self._ask(text, "POST", "", {"items": [item]})
        if isinstance(added, str):
            return Failed(text, added, sent, time.monotonic())
        position = added["data"][0]["position"]
        # It is stored: to read it is repeated, and not to say it.
        query = f"?order=desc&limit={WINDOW}&after={position + 1}"
        while isinstance(page := self._ask(text, "GET", query), str):
            assert time.monotonic() < sent + ANSWER_SECONDS, page
        window = tuple(sys.intern(body_of(each)) for each in reversed(page["data"]))
        return Acknowledged(text, window, time.monotonic())

    def _ask(self, text: Text, method: str, query: str, document: Any = None) -> Any:
        """The document of an answer with 200; else how it failed, a string."""
        body = None if document is None else json.dumps(document).encode()
        try:
            self._connection.request(
                method,
                f"{API}/{text.memory_id}/items{query}",
                body,
                {"Content-Type": "application/json"},
            )
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            self.close()
            return way(error)
        return json.loads(answer) if response.status == 200 else status_of(response, answer)


def body_of(item: dict[str, Any]) -> str:
    """The element of V2's `history` that an item of texts is."""
    content = [{"type": "text", "value": part["text"]} for part in item["content"]]
    return json.dumps({"role": item["role"], "content": content})


class StoreClient:
    """Says one text at a time to the store, in this process."""

    def __init__(self, url: str) -> None:
        self._store = ConversationStore(database_alias(url))

    def close(self) -> None:
        connections[self._store.using].close()

    def say(self, text: Text) -> Acknowledged | Failed:
        sent = time.monotonic()
        try:
            window = self._store.exchange(
                text.memory_id, [Message("user", (Part("text", text.value),))], WINDOW
            )
        except Unavailable:
            return Failed(text, UNAVAILABLE, sent, time.monotonic())
        bodies = tuple(sys.intern(message.body) for message in window)
        return Acknowledged(text, bodies, time.monotonic())
