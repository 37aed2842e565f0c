"""Ways in to a memory, one class a door; the tests of the contract know no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from convstore.databases import connect
from convstore.models import Conversation, Message
from tests.service import Service


@dataclass(frozen=True)
class Reply:
    """What came back: a status of the HTTP door, a document, and the bytes it was read from."""

    status: int
    document: dict[str, Any]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def history(self) -> list[str]:
        (output,) = [out for out in self.document["outputs"] if out["name"] == "history"]
        assert output["shape"] == [len(output["data"]), 1]
        data: list[str] = output["data"]
        return data

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(element) for element in self.history]

    @property
    def texts(self) -> list[str]:
        """The value of each message's only part."""
        return [part["value"] for message in self.messages for part in message["content"]]


class HttpDoor:
    """The Django service over HTTP."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.session = requests.Session()

    def infer(self, document: object, memory: str = "memory") -> Reply:
        return self.send(json.dumps(document).encode(), memory)

    def send(self, body: Any, memory: str = "memory", **headers: str) -> Reply:
        """Any body at all, as it is, to a memory."""
        url = f"{self.service.url}/v2/models/{memory}/infer"
        reply = self.session.post(url, data=body, headers=headers, timeout=60)
        return Reply(reply.status_code, reply.json(), reply.content, reply.headers)


def stored(service: Service) -> tuple[int, int]:
    """How many conversations and messages a service's database holds, asked past every door."""
    alias = connect(service.environment["DATABASE_URL"])
    return Conversation.objects.using(alias).count(), Message.objects.using(alias).count()
