"""What the hand-written stores share: a conversation's key, a message's body, a session's form."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

import orjson

from benchmarks.scenario import TextMessage


def conversation_key(memory_id: str) -> UUID:
    """The key that convstore gives a conversation: the hand-written stores use its tables."""
    bits = int.from_bytes(hashlib.sha256(memory_id.encode()).digest()[:16])
    bits = bits & ~(0xF << 76) | (8 << 76)
    return UUID(int=bits & ~(0b111 << 61) | (0b101 << 61))


def body_of(message: TextMessage) -> str:
    content = [{"type": message.kind, "value": message.text}]
    body: bytes = orjson.dumps({"role": message.role, "content": content})
    return body.decode()


def fingerprint(body: str) -> UUID:
    return UUID(bytes=hashlib.sha256(body.encode()).digest()[:16], version=4)


def pinned(rows: Sequence[tuple[int, str]], window: int) -> list[str]:
    """The bodies of rows that came newest first: a pinned row, where there is one, is the last."""
    kept = rows if len(rows) <= window else [*rows[: window - 1], rows[-1]]
    return [body for _, body in reversed(kept)]


class HandWritten:
    """A hand-written store works on tables that convstore has made and filled."""

    exact = True

    def __init__(self, url: str) -> None:
        self.url = url

    def fill(self, conversation: str, messages: Sequence[TextMessage], copies: int) -> None:
        """Nothing to do: convstore's own store fills the tables."""


class Elements:
    """A session whose answers are texts already."""

    def elements(self, answer: Sequence[str]) -> Sequence[str]:
        return answer
