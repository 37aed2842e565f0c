"""A client of the Conversations door in this process, over a database of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

import conversations_api.views
from api_keys.caller import Caller
from convstore.archive.history import History, MessageRow
from convstore.store import ConversationStore, conversation_key
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


# --- Items, and what tests ask of them --------------------------------------------------

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
ANSWER = {"type": "function_call_output", "call_id": "c1", "output": "found"}
REASONING = {"type": "reasoning", "id": "rs_mine", "summary": [], "encrypted_content": "x" * 99}


def said(text: str) -> dict[str, Any]:
    return {**TEXT, "content": [{"type": "input_text", "text": text}]}


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [item["content"][0]["text"] for item in items]


def rows_of(client: Client, path: str) -> list[MessageRow]:
    history = History(client.store.using, conversation_key(path.removeprefix("/")))
    return list(history.rows().order_by("position"))


def all_items(client: Client, conversation: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = f"&after={found[-1]['id']}" if found else ""
        query = f"?order=asc&limit=100{after}"
        page = client.get(f"{conversation}/items{query}").document
        found += page["data"]
        if not page["has_more"]:
            return found


def key(text: str) -> dict[str, str]:
    return {"HTTP_IDEMPOTENCY_KEY": text}


def tag_of(client: Client, path: str) -> dict[str, str]:
    return {"HTTP_IF_MATCH": client.get(path).headers["ETag"]}


def use(monkeypatch: pytest.MonkeyPatch, caller: Caller) -> None:
    monkeypatch.setattr(conversations_api.views, "caller_of", lambda method, meta: caller)
