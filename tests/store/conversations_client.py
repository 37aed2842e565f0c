"""A client of the Conversations door in this process, over a database of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

from convstore.store import ConversationStore
from convstore.wsgi import v2_application
from memory_api.memory import Memory

LOCAL = {"SERVER_NAME": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8080"}


@dataclass(frozen=True)
class Reply:
    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """Requests to one memory; `more` are WSGI's names of headers."""

    memory: Memory
    under: str = "/v1/conversations"

    def send(self, method: str, path: str = "", document: Any = None, **more: str) -> Reply:
        body = b"" if document is None else json.dumps(document).encode()
        environment: Any = {**LOCAL, **more}
        request: WSGIRequest = RequestFactory().generic(
            method, f"{self.under}{path}", body, "application/json", **environment
        )
        response = v2_application.get_response(request)
        return Reply(response.status_code, json.loads(response.content), dict(response.headers))

    def get(self, path: str = "", **more: str) -> Reply:
        return self.send("GET", path, **more)

    def post(self, path: str = "", document: Any = None, **more: str) -> Reply:
        return self.send("POST", path, {} if document is None else document, **more)

    def delete(self, path: str, **more: str) -> Reply:
        return self.send("DELETE", path, **more)

    @property
    def store(self) -> ConversationStore:
        return self.memory.store
