"""Items of one conversation: pages of them, and one by its id, whoever gave that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from api_keys.caller import Caller
from conversations_api.access import stored_id_of
from conversations_api.chat import chat_of, is_split
from conversations_api.errors import NotFound
from conversations_api.names import made_id
from conversations_api.objects import ChatPage, PlacedItem, placed_items
from conversations_api.parts import Json, same_json
from conversations_api.requests import ASCENDING, DESCENDING, PageQuery
from convstore.archive import changes, pages
from convstore.archive import conversations as archive
from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.errors import DuplicateItem
from convstore.exchange.portable_orm import MAX_POSITION
from convstore.request_log import current_record
from convstore.store import ConversationStore, conversation_key

# How many messages behind the limit a page of chat messages looks for the end of a turn.
LONGEST_TURN = 100
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation that exists: its key, its memory_id in the store, and its row."""

    key: UUID
    memory_id: str
    row: ConversationRow
    length: int

    @property
    def revision(self) -> str:
        return changes.revision_of(self.row, self.length)


def find_conversation(
    store: ConversationStore, caller: Caller, shown: str, param: str | None = None
) -> Found:
    """The conversation with this id in a path, or in a `param`. Raises NotFound."""
    memory_id = stored_id_of(caller, shown)
    if memory_id is not None:
        key = conversation_key(memory_id)
        current_record().conversation = key
        row: Any = store.run(lambda: archive.find_conversation(store.using, key, memory_id))
        if row is not None:
            return Found(key, memory_id, row, row.length or 0)
    raise no_conversation(param)


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a conversation that exists."""

    store: ConversationStore
    found: Found

    def page(self, query: PageQuery) -> tuple[list[PlacedItem], bool]:
        """A page of items, and whether more follow."""
        after = self._place_after(query)
        wanted = query.limit + 1
        items: list[PlacedItem] = []
        page = self._rows(query, after, wanted)
        for row in page.rows:
            some = placed_items(row)
            items += some if query.order == ASCENDING else some[::-1]
        if after is not None:
            items = [item for item in items if _is_behind(item, after, query.order)]
        return items[: query.limit], page.has_more or len(items) > query.limit

    def chat_page(self, query: PageQuery) -> ChatPage:
        """A page of whole turns, which may have more messages than `limit`."""
        place = self._place_after(query)
        after = None if place is None else place[0]
        for wanted in (query.limit + 1, query.limit + LONGEST_TURN):
            page = self._page(query.order, after, wanted)
            count = _whole_turns(page, query, wanted)
            if count is not None:
                break
        rows = list(page.rows[: query.limit if count is None else count])
        ends = [placed_items(row) for row in (rows[0], rows[-1])] if rows else []
        if query.order == DESCENDING:
            ends = [items[::-1] for items in ends]
        first, last = (ends[0][0].id, ends[1][-1].id) if ends else (None, None)
        chat = chat_of(rows if query.order == ASCENDING else rows[::-1])
        return ChatPage(chat, first, last, page.has_more or len(page.rows) > len(rows))

    def items_between(self, first: int, last: int) -> list[PlacedItem]:
        """All items from one position to another."""
        using, key = self.store.using, self.found.key
        rows = self.store.run(lambda: pages.rows_between(using, key, first, last))
        return [item for row in rows for item in placed_items(row)]

    def item(self, item_id: str, param: str | None = None) -> PlacedItem:
        """The item with this id. Raises NotFound, also if it was erased."""
        row, number = self._row_of(item_id)
        for item in placed_items(row) if row else ():
            if item.number == number and item.id == item_id:
                return item
        raise no_item(param)

    def item_at(self, wanted: str) -> PlacedItem:
        """The item with this id, or the first one at this position. Raises NotFound."""
        try:
            return self.item(wanted)
        except NotFound:
            position = position_in(wanted)
            for item in self.items_between(position, position) if position is not None else ():
                return item
            raise

    def _row_of(self, item_id: str) -> tuple[MessageRow | None, int]:
        """The row of the item with this id, and the item's number in it."""
        place = self.store.run(lambda: pages.place_of_id(self.store.using, self.found.key, item_id))
        if place:
            position, number = place
            return self.store.run(
                lambda: pages.row_at(self.store.using, self.found.key, position)
            ), number
        made = made_id(item_id)
        if made is None:
            return None, 0
        row = self.store.run(
            lambda: pages.row_with_key(self.store.using, self.found.key, made.request_key)
        )
        return row, made.number

    def place_of(self, item_id: str, param: str) -> tuple[int, int]:
        """The position and the number of an item, also of an erased one: cursors stay valid."""
        place = self.store.run(lambda: pages.place_of_id(self.store.using, self.found.key, item_id))
        if place:
            return place
        made = made_id(item_id)
        if made:
            position = self.store.run(
                lambda: pages.position_of_key(self.store.using, self.found.key, made.request_key)
            )
            if position is not None:
                return position, made.number
        raise no_item(param)

    def _place_after(self, query: PageQuery) -> tuple[int, int] | None:
        """The place behind which a page begins: of an item, or of all items at a position."""
        if query.after is None:
            return None
        behind_all = MAX_POSITION if query.order == ASCENDING else -1
        return self._place_or_position(query.after, "after", behind_all)

    def start_of(self, start: str) -> tuple[int, int]:
        """The place of an item by its id, or of the first one at a position."""
        position, number = self._place_or_position(start, "from", 0)
        return max(position, 1), number

    def _place_or_position(self, text: str, param: str, number: int) -> tuple[int, int]:
        """The place of the item with this id, or a position with this `number`."""
        try:
            return self.place_of(text, param)
        except NotFound:
            position = position_in(text)
            if position is None:
                raise
            return position, number

    def end_of(self, up_to: str | int | None) -> tuple[int, int | None]:
        """The last of some items, by its id or as all at a position: its position, and how many
        items of its message those are; None if all. Raises NotFound.
        """
        if up_to is None:
            return self.found.length, None
        if isinstance(up_to, str):
            item = self.item(up_to, "up_to")
            last = max(each.number for each in self.items_between(item.position, item.position))
            return item.position, None if item.number == last else item.number + 1
        if not (1 <= up_to <= self.found.length and self.items_between(up_to, up_to)):
            raise no_item("up_to")
        return up_to, None

    def is_made_here(self, item: Json) -> bool:
        """Whether an item has the id of one that is stored without an id of its client's."""
        made = made_id(item.get("id", ""))
        if made is None:
            return False
        key = made.request_key
        return (
            self.store.run(lambda: pages.position_of_key(self.store.using, self.found.key, key))
            is not None
        )

    def same_as(self, items: Sequence[Json]) -> list[PlacedItem]:
        """The items, if all of them are stored as they are. Raises DuplicateItem."""
        same = []
        for item in items:
            if "id" not in item:
                raise duplicate()
            try:
                stored = self.item(item["id"])
            except NotFound:
                raise duplicate() from None
            if not same_json({**item, "position": stored.position}, stored.document):
                raise duplicate()
            same.append(stored)
        return same

    def _rows(self, query: PageQuery, after: tuple[int, int] | None, limit: int) -> pages.Page:
        """Rows that have the next `limit` items, and perhaps some of the row at the cursor."""
        # One more, since all items of the row at the cursor may be before it.
        step = -1 if query.order == ASCENDING else 1
        return self._page(query.order, after[0] + step if after else None, limit + 1)

    def _page(self, order: str, after: int | None, limit: int) -> pages.Page:
        """Rows behind a position, in this order; from the first one on if it is None."""
        using, key = self.store.using, self.found.key
        if order == ASCENDING:
            return self.store.run(lambda: pages.rows_after(using, key, after or 0, limit))
        start = MAX_POSITION if after is None else after
        return self.store.run(lambda: pages.rows_before(using, key, start, limit))


def position_in(text: str) -> int | None:
    """The position that is meant where no item has this text as its id."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _is_behind(item: PlacedItem, after: tuple[int, int], order: str) -> bool:
    place = item.position, item.number
    return place > after if order == ASCENDING else place < after


def _whole_turns(page: pages.Page, query: PageQuery, wanted: int) -> int | None:
    """How many of the `wanted` rows are whole turns, at least `limit` if that can be; None if more
    rows have to be read, or if none are."""
    rows, count, limit = page.rows, len(page.rows), query.limit
    if not page.has_more and count <= limit:
        return count
    ends: list[int] = [*range(limit, count), *([] if page.has_more else [count])]
    is_cut = page.has_more and count < wanted  # by its bytes
    if is_cut or wanted > limit + 1:
        ends += range(min(limit, count) - 1, 0, -1)
    for end in ends:
        pair = rows[end - 1 : end + 1]
        if len(pair) < 2 or not is_split(*(pair if query.order == ASCENDING else pair[::-1])):
            return end
    return None


def no_conversation(param: str | None = None) -> NotFound:
    sentence = "there is no conversation with this id"
    if param is not None:
        sentence = (
            f"there is no conversation with the id in '{param}'; if it was deleted since the page"
            f" before, begin the list again without '{param}'"
        )
    return NotFound(sentence, param, "conversation_not_found")


def no_item(param: str | None = None) -> NotFound:
    return NotFound("there is no item with this id in this conversation", param, "item_not_found")


def duplicate() -> DuplicateItem:
    return DuplicateItem(
        "Duplicate item: the conversation has an item with the id of one of these, or had one that"
        " was deleted; nothing was stored; send items with new ids, or without"
    )
