"""The conversations of one memory, as one caller may see them: what each route does.

Adding is the store's one exchange; reading, changing and erasing are the archive's.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

from conversations_api import audit_log
from conversations_api.access import Access
from conversations_api.errors import NotFound
from conversations_api.items import messages_of, without
from conversations_api.names import made_id, new_conversation_id
from conversations_api.objects import PlacedItem, placed_items
from conversations_api.parts import Json, same_json
from conversations_api.requests import ACTIVE, ASCENDING, DESCENDING, ListQuery, PageQuery
from convstore.archive import changes, erasure, lists, pages
from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import History, MessageRow
from convstore.errors import ConversationExists, DuplicateItem, RequestKeyReused
from convstore.messages import Message, dumps
from convstore.request_log import current_record
from convstore.store import conversation_key
from memory_api.idempotency import request_key
from memory_api.memory import Memory
from memory_api.memory_ids import checked_memory_id
from memory_api.metrics import metrics_of

MAX_POSITION = 2**63 - 1
ORDERS = {DESCENDING: lists.NEWEST, ASCENDING: lists.OLDEST, ACTIVE: lists.LAST_ACTIVE}
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation that exists: its key, its memory_id in the store, and its row."""

    key: UUID
    memory_id: str
    row: ConversationRow


@dataclass(frozen=True, slots=True)
class Conversations:
    """The conversations of a memory that the caller with this access sees."""

    memory: Memory
    access: Access

    @property
    def using(self) -> str:
        return self.memory.store.using

    # --- Conversations -------------------------------------------------------------------

    def create(
        self,
        items: Sequence[Json],
        metadata: Mapping[str, str],
        own_id: str | None = None,
        key: str | None = None,
    ) -> ConversationRow:
        """Begin a conversation with the client's own id, or one that the server makes.

        With an idempotency `key`, the server makes the same id again.
        """
        chosen = own_id or new_conversation_id(self.memory.step, self.access.tenant, key)
        memory_id = checked_memory_id(self.access.stored_id(chosen))
        messages = messages_of(items)
        stored_as = self._request_key(memory_id, key, messages)
        try:
            self.memory.store.create(memory_id, messages, metadata, stored_as)
        except ConversationExists:
            if own_id or key is None:
                raise
            raise RequestKeyReused(
                "this idempotency key came before with other items or metadata; nothing was stored"
                " now; use a new key for each new request"
            ) from None
        self._note_stored(memory_id, messages)
        return self.find(self.access.shown_id(memory_id)).row

    def conversation_page(self, query: ListQuery) -> tuple[list[ConversationRow], bool]:
        """A page of the conversations that the caller may see, and whether more follow."""
        after = None if query.after is None else self.find(query.after, "after").row
        limit, run = query.limit + 1, self._run
        if query.pair is not None:
            pair = query.pair
            rows = run(lambda: lists.list_with_pair(self.using, pair, after, limit, self._is_seen))
        else:
            order, prefix = ORDERS[query.order], self.access.stored_id("")
            rows = run(
                lambda: lists.list_conversations(
                    self.using, order, after, limit, self._is_seen, prefix
                )
            )
        return rows[: query.limit], len(rows) > query.limit

    def _is_seen(self, row: ConversationRow) -> bool:
        """Whether it is the caller's, and not being deleted."""
        is_own = row.memory_id.startswith(self.access.stored_id(""))
        return is_own and conversation_key(row.memory_id) == row.id

    def find(self, shown: str, param: str | None = None) -> Found:
        """The conversation with this id in a path, or in a `param`. Raises NotFound."""
        memory_id = self.access.stored_id_of(shown)
        if memory_id is not None:
            key = conversation_key(memory_id)
            current_record().conversation = key
            row = self._run(lambda: conversations(self.using).filter(pk=key).first())
            if row is not None and row.memory_id == memory_id:
                return Found(key, memory_id, row)
        raise _no_conversation(param)

    def set_metadata(
        self, shown: str, metadata: Mapping[str, str], key: str | None = None
    ) -> ConversationRow:
        found = self.find(shown)
        mark = self._request_key(found.memory_id, key, ())
        if mark is not None:
            mark = uuid.uuid5(mark, dumps(sorted(metadata.items())))
        self._run(
            partial(changes.set_metadata, self.using, found.key, found.memory_id, metadata, mark)
        )
        return self.find(shown).row

    def delete(self, shown: str) -> None:
        """Delete a conversation; its readers do not find it from the first moment on.

        A request that is sent again goes on with a deletion that has not ended.
        """
        memory_id = self.access.stored_id_of(shown)
        if memory_id is None:
            raise _no_conversation()
        key = conversation_key(memory_id)
        if not self._run(lambda: erasure.is_hidden(self.using, key)):
            found = self.find(shown)
            length = self._run(History(self.using, key).length)
            self._note_deletion(found, f"conversation of {length} messages")
            self._run(lambda: erasure.hide(self.using, key))
        self._run(lambda: erasure.finish_deletion(self.using, key))

    # --- Items ---------------------------------------------------------------------------

    def add(self, shown: str, items: Sequence[Json], key: str | None = None) -> list[PlacedItem]:
        """Add items to a conversation that exists; they are returned as they are stored.

        A second request with the same idempotency `key` adds nothing. Nor does one whose items all
        have ids of their own, and are stored already.
        """
        found = self.find(shown)
        if not items:
            return []
        messages = messages_of(items)
        if any(self._made_here(found, item) for item in items):
            return self._same_items(found, items)
        try:
            stored_as = self._request_key(found.memory_id, key, messages) or _key_of(items)
            last = self.memory.store.append(found.memory_id, messages, stored_as)
        except DuplicateItem:
            return self._same_items(found, items)
        self._note_stored(found.memory_id, messages)
        first = last - len(messages) + 1
        rows = self._run(lambda: pages.rows_between(self.using, found.key, first, last))
        stored = [item for row in rows for item in placed_items(row)]
        # A retry of items of which some were deleted since.
        if key is None and len(stored) < len(items):
            raise _duplicate()
        return stored

    def item_page(self, shown: str, query: PageQuery) -> tuple[list[PlacedItem], bool]:
        """A page of items, and whether more follow."""
        found = self.find(shown)
        after = self._place_of(found, query.after) if query.after is not None else None
        wanted = query.limit + 1
        items: list[PlacedItem] = []
        page = self._rows(found, query, after, wanted)
        for row in page.rows:
            some = placed_items(row)
            items += some if query.order == ASCENDING else some[::-1]
        if after is not None:
            items = [item for item in items if _is_behind(item, after, query.order)]
        return items[: query.limit], page.is_cut or len(items) > query.limit

    def item(self, shown: str, item_id: str) -> PlacedItem:
        return self._item(self.find(shown), item_id)

    def erase_item(self, shown: str, item_id: str) -> ConversationRow:
        """Erase what an item says; its place stays."""
        found = self.find(shown)
        item = self._item(found, item_id)
        self._note_deletion(found, f"item at position {item.position}")

        def rest(body: str) -> Message | None:
            return without(Message.from_json(body), item.number)

        erase = partial(changes.erase_message, self.using, found.key, found.memory_id)
        if not self._run(lambda: erase(item.position, rest)):
            raise _no_item()
        return self.find(shown).row

    # --- Where an item is ----------------------------------------------------------------

    def _item(self, found: Found, item_id: str) -> PlacedItem:
        """The item with this id. Raises NotFound, also if it was erased."""
        row, number = self._row_of(found, item_id)
        for item in placed_items(row) if row else ():
            if item.number == number and item.id == item_id:
                return item
        raise _no_item()

    def _row_of(self, found: Found, item_id: str) -> tuple[MessageRow | None, int]:
        """The row of the item with this id, and the item's number in it."""
        place = self._run(lambda: pages.place_of_id(self.using, found.key, item_id))
        if place:
            position, number = place
            return self._run(lambda: pages.row_at(self.using, found.key, position)), number
        made = made_id(item_id)
        if made is None:
            return None, 0
        row = self._run(lambda: pages.row_with_key(self.using, found.key, made.request_key))
        return row, made.number

    def _place_of(self, found: Found, item_id: str) -> tuple[int, int]:
        """The position and the number of an item, also of an erased one: cursors stay valid."""
        place = self._run(lambda: pages.place_of_id(self.using, found.key, item_id))
        if place:
            return place
        made = made_id(item_id)
        if made:
            position = self._run(
                lambda: pages.position_of_key(self.using, found.key, made.request_key)
            )
            if position is not None:
                return position, made.number
        raise _no_item("after")

    def _made_here(self, found: Found, item: Json) -> bool:
        """Whether an item has the id of one that is stored without an id of its client's."""
        made = made_id(item.get("id", ""))
        if made is None:
            return False
        key = made.request_key
        return self._run(lambda: pages.position_of_key(self.using, found.key, key)) is not None

    def _same_items(self, found: Found, items: Sequence[Json]) -> list[PlacedItem]:
        """The items, if all of them are stored as they are. Raises DuplicateItem."""
        same = []
        for item in items:
            if "id" not in item:
                raise _duplicate()
            try:
                stored = self._item(found, item["id"])
            except NotFound:
                raise _duplicate() from None
            if not same_json({**item, "position": stored.position}, stored.document):
                raise _duplicate()
            same.append(stored)
        return same

    def _rows(
        self, found: Found, query: PageQuery, after: tuple[int, int] | None, limit: int
    ) -> pages.Page:
        """Rows that have the next `limit` items, and perhaps some of the row at the cursor."""
        if query.order == ASCENDING:
            start = after[0] - 1 if after else 0
            read = partial(pages.rows_after, self.using, found.key, start)
        else:
            start = after[0] + 1 if after else MAX_POSITION
            read = partial(pages.rows_before, self.using, found.key, start)
        # One more, since all items of the row at the cursor may be before it.
        return self._run(lambda: read(limit + 1))

    # --- The database, the log -----------------------------------------------------------

    def _run(self, work: Callable[[], Result]) -> Result:
        return self.memory.store.run(work)

    def _request_key(
        self, memory_id: str, key: str | None, messages: Sequence[Message]
    ) -> UUID | None:
        """The store's key for the client's own, if it sent one."""
        return None if key is None else request_key(self.memory, memory_id, key, None, messages)

    def _note_stored(self, memory_id: str, messages: Sequence[Message]) -> None:
        record, measured = current_record(), metrics_of(*self.memory.labels)
        record.conversation, record.stored = conversation_key(memory_id), len(messages)
        measured.messages_stored.inc(len(messages))
        measured.bytes_stored.inc(record.bytes_stored or 0)

    def _note_deletion(self, found: Found, what: str) -> None:
        shown = found.key, found.memory_id
        audit_log.note_deletion(self.access.name, self.using, shown, f"by the API: {what}")


def _is_behind(item: PlacedItem, after: tuple[int, int], order: str) -> bool:
    place = item.position, item.number
    return place > after if order == ASCENDING else place < after


def _key_of(items: Sequence[Json]) -> UUID | None:
    """The request's key, if its items have ids of their own: a retry has the same items."""
    if not any("id" in item for item in items):
        return None
    text = json.dumps(["items with ids", items], sort_keys=True)
    return UUID(bytes=sha256(text.encode()).digest()[:16], version=4)


def _no_conversation(param: str | None = None) -> NotFound:
    return NotFound("there is no conversation with this id", param, "conversation_not_found")


def _no_item(param: str | None = None) -> NotFound:
    return NotFound("there is no item with this id in this conversation", param, "item_not_found")


def _duplicate() -> DuplicateItem:
    return DuplicateItem(
        "Duplicate item: the conversation has an item with the id of one of these, or had one that"
        " was deleted; nothing was stored; send items with new ids, or without"
    )
