"""OpenAI's objects: conversations, items and lists, as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from conversations_api.chat import Chat
from conversations_api.items import items_of
from conversations_api.kinds import long_form
from conversations_api.names import item_id
from conversations_api.parts import Json
from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.exchange import metadata
from convstore.messages import Message


class ChatPage(NamedTuple):
    """Messages of Chat Completions; `first_id` and `last_id` are items, the cursors of the list."""

    chat: Chat
    first_id: str | None
    last_id: str | None
    has_more: bool


class PlacedItem(NamedTuple):
    """An item with its id and position, and its number among those of its row."""

    document: Json
    position: int
    number: int

    @property
    def id(self) -> str:
        name: str = self.document["id"]
        return name


def placed_items(row: MessageRow) -> list[PlacedItem]:
    """The items of a row that are not erased."""
    return with_places(Message.from_json(row.body), row.request_key, row.position)


def with_places(message: Message, request_key: UUID, position: int) -> list[PlacedItem]:
    return [
        PlacedItem(_with_place(item, request_key, position, number), position, number)
        for number, item in enumerate(items_of(message))
        if item is not None
    ]


def _with_place(item: Json, request_key: UUID, position: int, number: int) -> Json:
    shown = long_form(item)
    name = shown.get("id") or item_id(shown.get("type", ""), request_key, number)
    return {**shown, "id": name, "position": position}


def conversation_object(shown_id: str, row: ConversationRow) -> dict[str, Any]:
    return {
        "id": shown_id,
        "object": "conversation",
        "created_at": int(row.created_at.timestamp()),
        "metadata": metadata.read(row.metadata),
    }


def deleted_object(shown_id: str) -> dict[str, Any]:
    return {"id": shown_id, "object": "conversation.deleted", "deleted": True}


def list_object(documents: Sequence[Json], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": list(documents),
        "first_id": documents[0]["id"] if documents else None,
        "last_id": documents[-1]["id"] if documents else None,
        "has_more": has_more,
    }


def chat_list_object(page: ChatPage) -> dict[str, Any]:
    """A list whose entries have no ids; so the cursors are those of items."""
    return {
        **list_object([], has_more=page.has_more),
        "data": page.chat.messages,
        "first_id": page.first_id,
        "last_id": page.last_id,
        "left_out": page.chat.left_out,
    }
