"""Message history of pydantic-ai in convstore.

    history = await load_history(store, "chat-1")
    result = await agent.run("Hello!", message_history=history)
    await save_history(store, "chat-1", result.new_messages())

Each message of pydantic-ai is one message of the store: its role and its text for people, and all
of it under `pydantic_ai`. Needs pydantic-ai-slim 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from convstore.messages import Message, Part
from convstore.store import ConversationStore

RAW = "pydantic_ai"
SAID = ("system-prompt", "user-prompt", "text")


async def load_history(store: ConversationStore, conversation: str) -> list[ModelMessage]:
    """All messages, oldest first; [] for an unknown conversation."""
    raw: list[Any] = []
    after = 0
    while (page := await store.apage(conversation, 500, after)).rows:
        after = page.rows[-1].position
        raw += [Message.from_json(row.body).extra[RAW] for row in page.rows]
    return ModelMessagesTypeAdapter.validate_python(raw)


async def save_history(
    store: ConversationStore, conversation: str, messages: Iterable[ModelMessage]
) -> None:
    """Add messages, all or none."""
    dumped = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    if dumped:
        await store.aappend(conversation, [_stored(message) for message in dumped])


def _stored(raw: dict[str, Any]) -> Message:
    role = "user" if raw["kind"] == "request" else "assistant"
    contents = [part["content"] for part in raw["parts"] if part["part_kind"] in SAID]
    texts = [Part("text", text) for text in contents if isinstance(text, str)]
    return Message(role, texts, {RAW: raw})
