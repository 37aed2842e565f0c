"""The conversations of one memory, as one caller may see them: what each route does.

Adding, changing and erasing are the store's, pages are the archive's; lists are in `listing`, forks
in `forking`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

from api_keys.caller import Caller
from conversations_api import audit_log
from conversations_api.access import shown_id_of, stored_id_of
from conversations_api.items import beginning, messages_of, without
from conversations_api.names import new_conversation_id
from conversations_api.objects import PlacedItem
from conversations_api.parts import Json
from conversations_api.reading import (
    Found,
    Items,
    duplicate,
    find_conversation,
    no_conversation,
)
from convstore.archive import erasure, pages
from convstore.archive.changes import refuse_other_revision
from convstore.archive.conversations import ConversationRow
from convstore.archive.repeats import refuse_key_of_cut
from convstore.errors import (
    Changed,
    ConversationExists,
    DuplicateItem,
    RequestKeyReused,
)
from convstore.messages import Message
from convstore.request_log import current_record
from convstore.store import conversation_key
from memory_api.idempotency import request_key
from memory_api.memory import Memory
from memory_api.memory_ids import checked_memory_id
from memory_api.metrics import metrics_of

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Conversations:
    """The conversations of a memory that this caller sees."""

    memory: Memory
    caller: Caller
    # Those in which a conversation may be changed, if the caller says so.
    revisions: Collection[str] | None = None
    # Where the request comes from, for the audit log.
    address: str = ""

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
        if self.revisions is not None:
            raise Changed("'If-Match' cannot be sent when a conversation is created; remove it")
        chosen = own_id or new_conversation_id(self.memory.step, self.caller.tenant, key)
        checked_memory_id(chosen)
        memory_id = self.caller.stored_id(chosen)
        messages = messages_of(items)
        stored_as = self._request_key(memory_id, key, messages)
        try:
            self.memory.store.create(memory_id, messages, metadata, stored_as)
        except ConversationExists:
            if own_id or key is None:
                raise
            raise key_reused() from None
        self.note_stored(memory_id, len(messages))
        return self.find(self.shown_id(memory_id)).row

    def find(self, shown: str, param: str | None = None) -> Found:
        """The conversation with this id in a path, or in a `param`. Raises NotFound."""
        return find_conversation(self.memory.store, self.caller, shown, param)

    def shown_id(self, memory_id: str) -> str:
        """The id of a conversation as the caller sees it."""
        return shown_id_of(self.caller, memory_id)

    def items(self, shown: str) -> Items:
        """The items of the conversation with this id. Raises NotFound."""
        return Items(self.memory.store, self.find(shown))

    def read_items(self, shown: str, read: Callable[[Items], Result]) -> tuple[Result, str]:
        """What `read` finds in the conversation with this id, and the revision that it is of.

        Nobody reads half of a change. Raises NotFound, also if it is deleted meanwhile.
        """

        def once() -> tuple[ConversationRow, tuple[Result, str]]:
            # Found before the items: who changes it later has seen all that it stands for.
            stored = self.items(shown)
            return stored.found.row, (read(stored), stored.found.revision)

        return pages.read_whole(self.using, self._run, once)

    def set_metadata(
        self, shown: str, metadata: Mapping[str, str], key: str | None = None
    ) -> ConversationRow:
        found = self.find(shown)
        stored_as = self._request_key(found.memory_id, key, ())
        self.memory.store.set_metadata(found.memory_id, metadata, stored_as, self.revisions)
        return self.find(shown).row

    def delete(self, shown: str) -> None:
        """Delete a conversation; its readers do not find it from the first moment on.

        A request that is sent again goes on with a deletion that has not ended.
        """
        memory_id = stored_id_of(self.caller, shown)
        if memory_id is None:
            raise no_conversation()
        key = conversation_key(memory_id)
        if self._run(lambda: erasure.is_hidden(self.using, key)):
            with self._log_deletion(key, memory_id, "the rest of a conversation"):
                self._run(lambda: erasure.finish_deletion(self.using, key))
            return
        found = self._checked_revision(self.find(shown))
        with self._log_deletion(key, memory_id, f"conversation of {found.length} messages"):
            self.memory.store.delete(memory_id, self.revisions)

    # --- Items ---------------------------------------------------------------------------

    def add(self, shown: str, items: Sequence[Json], key: str | None = None) -> list[PlacedItem]:
        """Add items to a conversation that exists; they are returned as they are stored.

        A second request with the same idempotency `key` adds nothing. Nor does one whose items all
        have ids of their own, and are stored already.
        """
        stored = self.items(shown)
        found = stored.found
        if not items:
            return []
        messages = messages_of(items)
        if any(stored.is_made_here(item) for item in items):
            return stored.same_as(items)
        try:
            stored_as = self._request_key(found.memory_id, key, messages) or _key_of(items)
            if self.revisions is None:
                if key is not None and stored_as is not None:
                    self._run(lambda: refuse_key_of_cut(self.using, found.key, stored_as))
                last = self.memory.store.append(found.memory_id, messages, stored_as)
            else:
                last = self.memory.store.rewrite(
                    found.memory_id, None, messages, stored_as, self.revisions
                )
        except DuplicateItem:
            return stored.same_as(items)
        self.note_stored(found.memory_id, len(messages))
        added = stored.items_between(last - len(messages) + 1, last)
        # A retry of items of which some were deleted since.
        if key is None and len(added) < len(items):
            raise duplicate()
        return added

    def erase_item(self, shown: str, item_id: str) -> ConversationRow:
        """Erase what an item says; its place stays."""
        items = self.items(shown)
        found, item = self._checked_revision(items.found), items.item(item_id)

        def rest(body: str) -> Message | None:
            return without(Message.from_json(body), item.number)

        # If it is gone by now, somebody else erased it, or a try whose end we did not hear of.
        with self._log_deletion(found.key, found.memory_id, f"item at position {item.position}"):
            self.memory.store.erase(found.memory_id, item.position, rest, self.revisions)
        return self.find(shown).row

    def replace_tail(
        self, shown: str, start: str, items: Sequence[Json], key: str | None
    ) -> list[PlacedItem]:
        """Erase the item `start`, an id or a position, and all behind it; add others there."""
        stored = self.items(shown)
        found, (position, number) = stored.found, stored.start_of(start)
        messages = messages_of(items)
        stored_as = self._request_key(found.memory_id, key, messages)

        def rest(body: str) -> Message | None:
            return beginning(Message.from_json(body), number)

        store, memory_id, last = self.memory.store, found.memory_id, None
        if stored_as is not None:
            last = store.end_of_rewrite(memory_id, position, messages, stored_as, rest, number)
        if last is None:
            self._checked_revision(found)
            what = f"items from position {position} on; the last position was {found.length}"
            with self._log_deletion(found.key, memory_id, what):
                last = store.rewrite(
                    memory_id, position, messages, stored_as, self.revisions, rest, number
                )
        self.note_stored(found.memory_id, len(messages))
        return stored.items_between(last - len(messages) + 1, last) if messages else []

    # --- The database, the log -----------------------------------------------------------

    def _run(self, work: Callable[[], Result]) -> Result:
        return self.memory.store.run(work)

    def _request_key(
        self, memory_id: str, key: str | None, messages: Sequence[Message]
    ) -> UUID | None:
        """The store's key for the client's own, if it sent one."""
        return None if key is None else request_key(self.memory, memory_id, key, None, messages)

    def note_stored(self, memory_id: str, count: int) -> None:
        """Let the log and the metrics tell of so many messages."""
        record, measured = current_record(), metrics_of(*self.memory.labels)
        record.conversation, record.stored = conversation_key(memory_id), count
        measured.messages_stored.inc(count)
        measured.bytes_stored.inc(record.bytes_stored or 0)

    def _checked_revision(self, found: Found) -> Found:
        """The conversation, if it is in a revision that the caller named: a later one cannot be."""
        refuse_other_revision(self.revisions, found.revision)
        return found

    def _log_deletion(self, key: UUID, memory_id: str, what: str) -> AbstractContextManager[None]:
        return audit_log.log_deletion(
            audit_log.Deletion(
                who=name_of(self.caller),
                address=self.address,
                using=self.using,
                conversation=(key, memory_id),
                what=f"by the API: {what}",
            )
        )


def _key_of(items: Sequence[Json]) -> UUID | None:
    """The request's key, if its items have ids of their own: a retry has the same items."""
    if not any("id" in item for item in items):
        return None
    text = json.dumps(["items with ids", items], sort_keys=True)
    return UUID(bytes=sha256(text.encode()).digest()[:16], version=4)


def key_reused() -> RequestKeyReused:
    return RequestKeyReused(
        "this idempotency key came before with another creation; nothing was stored now; use a new"
        " key for each new request"
    )


def name_of(caller: Caller) -> str:
    """Who it is, in the audit log."""
    return f"key {caller.prefix} ({caller.name})" if caller.prefix else "no key"
