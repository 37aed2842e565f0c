"""What the peers share: an event loop for each session of an asynchronous one, and its URL."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def asynchronous(url: str) -> str:
    dialect, _, rest = url.partition(":")
    return f"{DRIVERS[dialect]}:{rest}"


class PeerStore:
    """No peer promises what convstore does."""

    exact = False

    def __init__(self, url: str) -> None:
        self.url = url


class AsyncStore(PeerStore):
    """One whose sessions are asynchronous, and fill a conversation."""

    def fill(self, conversation: str, messages: Sequence[Any], copies: int) -> None:
        session: Any = self.session()  # type: ignore[attr-defined]
        session.wait(session.fill(conversation, messages, copies))
        session.close()


class PeerSession:
    """Texts are what is answered already."""

    def elements(self, answer: Sequence[str]) -> Sequence[str]:
        return answer

    def close(self) -> None:
        pass


class AsyncSession(PeerSession):
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def append(self, conversation: str, new: Any, window: int) -> list[str]:
        return self.wait(self.aappend(conversation, new, window))

    def read(self, conversation: str, window: int) -> list[str]:
        return self.wait(self.aread(conversation, window))
