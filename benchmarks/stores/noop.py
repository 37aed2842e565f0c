"""Stores nothing: its answers are always the same window, with the new message last."""

from __future__ import annotations

from benchmarks.scenario import Scenario, TextMessage
from benchmarks.stores.conversation import Elements, HandWritten, body_of

SAME = [body_of(Scenario().message(f"{n:08}")) for n in range(1_000)]


class Session(Elements):
    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        return [*SAME[: window - 1], body_of(message)]

    def read(self, conversation: str, window: int) -> list[str]:
        return SAME[:window]

    def close(self) -> None:
        pass


class Store(HandWritten):
    def session(self) -> Session:
        return Session()
