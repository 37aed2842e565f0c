"""convstore's own store with a new connection to the database for each call."""

from __future__ import annotations

from benchmarks.scenario import TextMessage
from benchmarks.stores import ours
from convstore.store import ConversationStore


class Session(ours.Session):
    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        self.close()
        return super().append(conversation, message, window)

    def read(self, conversation: str, window: int) -> list[str]:
        self.close()
        return super().read(conversation, window)


class Store(ours.Store):
    def session(self) -> Session:
        return Session(ConversationStore(self.using))
