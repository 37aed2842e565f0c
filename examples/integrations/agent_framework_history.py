"""A HistoryProvider of Microsoft Agent Framework in convstore.

    agent = Agent(client=client, context_providers=[ConvstoreHistoryProvider(store)])

Each message of the framework is one message of the store: its role and its text for people, and
all of it under `agent_framework`. Needs agent-framework-core 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_framework import HistoryProvider
from agent_framework import Message as FrameworkMessage

from convstore.messages import Message, Part
from convstore.store import ConversationStore

RAW = "agent_framework"


class ConvstoreHistoryProvider(HistoryProvider):
    """The session's id is the id of the conversation."""

    def __init__(
        self, store: ConversationStore, source_id: str = "convstore", **flags: Any
    ) -> None:
        super().__init__(source_id, **flags)
        self.store = store

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[FrameworkMessage]:
        messages: list[FrameworkMessage] = []
        after = 0
        while (page := await self.store.apage(_named(session_id), 500, after)).rows:
            after = page.rows[-1].position
            raw = [Message.from_json(row.body).extra[RAW] for row in page.rows]
            messages += map(FrameworkMessage.from_dict, raw)
        return messages

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[FrameworkMessage],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add messages, all or none."""
        if messages:
            await self.store.aappend(_named(session_id), [_stored(each) for each in messages])


def _named(session_id: str | None) -> str:
    if session_id is None:
        raise ValueError("a session without an id has no conversation; give it one")
    return session_id


def _stored(message: FrameworkMessage) -> Message:
    texts = [Part("text", message.text)] if message.text else []
    return Message(str(message.role), texts, {RAW: message.to_dict()})
