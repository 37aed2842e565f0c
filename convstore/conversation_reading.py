"""What ConversationStore reads beside windows: one conversation, pages of messages, lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from convstore.archive import changes, erasure, lists, pages
from convstore.archive.conversations import (
    ConversationRow,
    conversations,
    find_conversation,
    with_length,
)
from convstore.archive.lists import NEWEST, Order
from convstore.archive.pages import Page
from convstore.asynchronous import in_thread
from convstore.exchange import metadata as pairs
from convstore.exchange.portable_orm import MAX_POSITION
from convstore.exchange.statements import conversation_key
from convstore.transactions import Result, run_transaction


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation as it was when it was read.

    `length` is its highest position, also of an erased message. `revision` differs after each
    change. `active_at` is noted once an hour.
    """

    memory_id: str
    created_at: datetime
    active_at: datetime
    length: int
    revision: str
    metadata: Mapping[str, str]


class ConversationReading:
    """A base of ConversationStore, which has the fields. Every method raises Unavailable."""

    __slots__ = ()

    using: str
    observe: Callable[[float, int], None]

    def run(self, work: Callable[[], Result]) -> Result:
        """What `work` on the same database returns, run again where that may help.

        Raises Unavailable, and what `work` raises.
        """
        return run_transaction(self.using, work, self.observe)

    # --- Reading -------------------------------------------------------------------------

    def find(self, memory_id: str) -> StoredConversation | None:
        """The conversation with this id, its metadata and its revision; None if there is none."""
        key = conversation_key(memory_id)
        row = self.run(lambda: find_conversation(self.using, key, memory_id))
        return _stored_conversation(row) if row else None

    def page(
        self,
        memory_id: str,
        limit: int = 50,
        after: int | None = None,
        *,
        newest_first: bool = False,
    ) -> Page:
        """At most `limit` messages behind the position `after`: `rows`, and whether it `has_more`.

        A row has `position`, `role`, `body`, `created_at` and `request_key`. They are the oldest
        first, or the newest first; then `after` is the position that they are before. Without
        it, a page begins at the end that its order begins at. Erased messages are left out. A page
        ends at 8 MiB, but has one message at least. It is empty for an unknown id.
        """
        key = conversation_key(memory_id)
        begin = MAX_POSITION if newest_first else 0
        read = pages.rows_before if newest_first else pages.rows_after
        start = begin if after is None else after

        def once() -> tuple[ConversationRow | None, Page]:
            row = find_conversation(self.using, key, memory_id)
            none = Page([], has_more=False)
            return row, read(self.using, key, start, limit) if row else none

        return pages.read_whole(self.using, self.run, lambda: self.run(once))

    def conversations(
        self,
        limit: int = 100,
        after: StoredConversation | None = None,
        *,
        order: Order = NEWEST,
        prefix: str | None = None,
        pair: tuple[str, str] | None = None,
    ) -> list[StoredConversation]:
        """At most `limit` conversations behind `after`, which is the last one of the page before.

        `order` is NEWEST, OLDEST or LAST_ACTIVE of `convstore.archive.lists`. With `prefix`, they
        are those whose memory_id begins with it, in order of memory_id; with `pair`, those that
        have this name and value in their metadata, the newest first. Each page is a range of an
        index.
        """
        last = after and ConversationRow(
            id=conversation_key(after.memory_id),
            memory_id=after.memory_id,
            created_at=after.created_at,
            active_at=after.active_at,
        )
        read: Callable[..., list[ConversationRow]]
        if prefix is not None:
            exact = conversation_key(prefix)
            read = partial(lists.list_by_id, self.using, prefix, exact)
        elif pair is not None:
            read = partial(lists.list_with_pair, self.using, pair)
        else:
            read = partial(lists.list_conversations, self.using, order)

        def work() -> list[StoredConversation]:
            found = read(last, limit, erasure.is_there)
            rows = with_length(conversations(self.using)).in_bulk([row.id for row in found])
            return [_stored_conversation(rows[row.id]) for row in found if row.id in rows]

        return self.run(work)

    afind = in_thread(find)
    apage = in_thread(page)
    aconversations = in_thread(conversations)


def _stored_conversation(row: Any) -> StoredConversation:
    length = row.length or 0
    return StoredConversation(
        row.memory_id,
        row.created_at,
        row.active_at,
        length,
        changes.revision_of(row, length),
        pairs.read(row.metadata),
    )
