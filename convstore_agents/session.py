"""ConvstoreSession: a session of OpenAI's Agents SDK, in this process, on ConversationStore.

Its items are those that the Conversations API shows of the same conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.memory import SessionSettings

from conversations_api.items import items_of, messages_of, without
from conversations_api.parts import Json
from convstore.errors import DuplicateItem, UnknownConversation
from convstore.messages import Message
from convstore.store import ConversationStore

ROWS_AT_ONCE = 500
# The SDK gives an item the same id again, as with models that give none; a conversation has each
# id once. Such an id is kept under this name.
REPEATED_ID = "repeated_id"


class ConvstoreSession:
    """The conversation `session_id` of a store; several processes may use it at once.

    Each call is one transaction, and exact under any number of callers; only a `get_items` of
    many items is several. They raise the store's errors; after Unavailable, items may be added
    or not.
    """

    def __init__(
        self,
        session_id: str,
        store: ConversationStore | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.store = store or ConversationStore()
        self.session_settings = SessionSettings().resolve(session_settings)

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The newest `limit` items, oldest first; without a limit, that of `session_settings`, or
        all. They are the same JSON values that were added."""
        wanted = self.session_settings.limit if limit is None else limit
        if wanted is not None and wanted <= 0:
            return []
        items: list[Json] = []  # the newest first
        after: int | None = None
        while wanted is None or len(items) < wanted:
            count = ROWS_AT_ONCE if wanted is None else min(wanted - len(items), ROWS_AT_ONCE)
            page = await self.store.apage(self.session_id, count, after, newest_first=True)
            for row in page.rows:
                items += reversed(_live_items(row.body))
            if not page.has_more:
                break
            after = page.rows[-1].position
        return items[:wanted][::-1]

    async def add_items(self, items: Sequence[Any]) -> None:
        """Add items, all or none."""
        if not items:
            return
        try:
            await self._append(_with_each_id_once(items))
        except DuplicateItem:
            await self._append([_without_id(item) for item in items])

    async def pop_item(self) -> Any | None:
        """Erase the newest item and return it; None if there is none."""
        body = await self.store.apop(self.session_id, _without_newest)
        return None if body is None else _live_items(body)[-1]

    async def clear_session(self) -> None:
        """Delete the conversation; the next item begins it anew."""
        try:
            await self.store.adelete(self.session_id)
        except UnknownConversation:
            return

    async def _append(self, items: Sequence[Json]) -> None:
        await self.store.aappend(self.session_id, messages_of(items))


def _live_items(body: str) -> list[Json]:
    items = items_of(Message.from_json(body))
    return [_with_own_id(item) for item in items if item is not None]


def _without_newest(body: str) -> Message | None:
    message = Message.from_json(body)
    live = [number for number, item in enumerate(items_of(message)) if item is not None]
    return without(message, live[-1])


# --- Ids that are there already ----------------------------------------------------------


def _with_each_id_once(items: Sequence[Json]) -> list[Json]:
    seen: set[str] = set()
    once = []
    for item in items:
        name = item.get("id")
        if isinstance(name, str) and name not in seen:
            seen.add(name)
            once.append(item)
        else:
            once.append(_without_id(item))
    return once


def _without_id(item: Json) -> Json:
    if "id" not in item:
        return item
    return {REPEATED_ID if name == "id" else name: value for name, value in item.items()}


def _with_own_id(item: Json) -> Json:
    if REPEATED_ID not in item:
        return item
    return {"id" if name == REPEATED_ID else name: value for name, value in item.items()}
