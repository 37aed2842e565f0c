"""ConversationStore: append, window, exchange. Only it and the archive touch the rows.

An exchange is atomic and in order, is exact under any number of writers, costs the same
whatever the length of the conversation, and is on disk once it has returned. What a store does
beside exchanges is in `conversation_changes` and `conversation_reading`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, Error, connections

from convstore.archive.erasure import finish_deletion
from convstore.archive.word_switch import with_words
from convstore.asynchronous import in_thread
from convstore.conf import max_reply_bytes, max_window, truncates_replies
from convstore.conversation_changes import ConversationChanges
from convstore.database.connection import note_write
from convstore.errors import IdentityClash, Unavailable, WindowTooLarge
from convstore.exchange.creation import create
from convstore.exchange.new_messages import message_too_large, new_messages, refuse_too_large
from convstore.exchange.statements import (
    ConversationRef,
    Reply,
    Statements,
    Window,
    conversation_key,
)
from convstore.exchange.variants import statements_for, write_nothing
from convstore.messages import Message, dumps
from convstore.request_log import current_record
from convstore.standby import read_stale
from convstore.transactions import SHORT_SECONDS, Result, done, ignore_call, run_transaction
from convstore.windows import Reading, WindowOptions

__all__ = ["ConversationStore", "conversation_key"]


@dataclass(frozen=True, slots=True)
class ConversationStore(ConversationChanges):
    """The conversations of one database, `using` being its alias in Django's `connections`.

    `variant` picks how statements run; by default the fastest that the database can run.
    `observe` is called after each call to the database with its seconds and its retries.
    `standby` is the alias of a copy, for reads that may be stale.
    """

    using: str = DEFAULT_DB_ALIAS
    variant: Callable[[str], Statements] = statements_for
    observe: Callable[[float, int], None] = field(default=ignore_call, compare=False)
    standby: str | None = None

    def create(
        self,
        memory_id: str,
        messages: Sequence[Message] = (),
        metadata: Mapping[str, str] | None = None,
        request_key: UUID | None = None,
    ) -> int:
        """Begin a conversation, also without messages; returns the last one's position.

        A second call with the same `request_key`, messages and metadata does nothing. Raises
        ConversationExists, and otherwise as `exchange`.
        """
        self._refuse_atomic()
        conversation = _conversation_ref(memory_id)
        request_key = request_key or uuid.uuid4()
        new = new_messages(messages, request_key) if messages else []
        pairs = metadata or {}
        mark = uuid.uuid5(request_key, dumps([sorted(pairs.items()), [row.body for row in new]]))
        refuse_too_large(new)
        current_record().bytes_stored = sum(message.size for message in new)

        def run() -> Reply:
            rows = with_words(self.using, messages, new)
            return done(create(self.using, conversation, rows, pairs, mark))

        last = self._run_outside_deletion(conversation.key, run).last
        note_write(self.using)
        return last

    def append(
        self,
        memory_id: str,
        messages: Sequence[Message],
        request_key: UUID | None = None,
        expected_position: int | None = None,
    ) -> int:
        """Add messages, all or none; returns the last one's position. Raises as `exchange`."""
        return self._exchange(memory_id, messages, 1, request_key, expected_position).last

    def window(self, memory_id: str, window: int | WindowOptions, *, stale: bool = False) -> Window:
        """The window of at most so many messages, oldest first; [] for an unknown id.

        It is the last `window` messages. If the conversation's first message has the role system
        or developer and is older than those, and `window` is at least 2, the window is that
        message and the last `window` - 1. WindowOptions asks for other windows. With `stale`,
        the standby may answer, which may not have the newest messages yet. Raises Unavailable
        and WindowTooLarge.
        """
        conversation, reading = _conversation_ref(memory_id), reading_of(window)

        def ask(statements: Statements) -> Reply:
            return statements.window(conversation, reading)

        def read(using: str) -> Reply:
            if using == self.using:
                return self._run(ask)
            return replace(self, using=using)._run(ask, SHORT_SECONDS)

        return _window(read_stale(self.standby if stale else None, self.using, read))

    def exchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        window: int | WindowOptions,
        request_key: UUID | None = None,
        expected_position: int | None = None,
    ) -> Window:
        """Add messages (at least one), all or none; returns the window that ends in them.

        A second call with the same `request_key`, messages and window adds nothing and returns
        what the first one returned, without what was erased since, and without what MAX_REPLY_BYTES
        and MAX_WINDOW do not allow any more. By default each call has a key of its own. With
        `expected_position`, it adds only if that is the conversation's highest position.

        Raises Unavailable, after which the messages may or may not be stored: call again
        with the same `request_key`, which is safe. Raises MessageTooLarge, WindowTooLarge,
        WrongPosition, RequestKeyReused and IdentityClash, after which nothing is stored. Raises
        RuntimeError inside `transaction.atomic()`.
        """
        return _window(self._exchange(memory_id, messages, window, request_key, expected_position))

    def _exchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        window: int | WindowOptions,
        request_key: UUID | None,
        expected_position: int | None,
    ) -> Reply:
        if not messages:
            raise ValueError("an exchange adds at least one message; use window() to read")
        self._refuse_atomic()
        conversation, reading = _conversation_ref(memory_id), reading_of(window, expected_position)
        # The keys are made before the first try, so that a retry finds what an earlier try
        # stored, even if the answer to its COMMIT was lost.
        new = new_messages(messages, request_key or uuid.uuid4())
        largest = max(message.size for message in new)
        # It may be a retry, from before the limit was lowered: those are answered.
        if largest > reading.max_bytes and request_key is None:
            raise message_too_large(largest)
        current_record().bytes_stored = sum(message.size for message in new)

        def run() -> Reply:
            rows = with_words(self.using, messages, new)
            return done(self.variant(self.using).exchange(conversation, rows, reading))

        try:
            reply = self._run_outside_deletion(conversation.key, run)
        except WindowTooLarge:
            if largest > reading.max_bytes:
                raise message_too_large(largest) from None
            raise
        note_write(self.using)
        return reply

    acreate = in_thread(create)
    aappend = in_thread(append)
    awindow = in_thread(window)
    aexchange = in_thread(exchange)

    def check(self) -> None:
        """Ask the database whether it can serve reads and writes. Raises Unavailable."""
        conversation, reading = _conversation_ref(""), reading_of(1)

        def ask(statements: Statements) -> Reply:
            write_nothing(self.using)
            return statements.window(conversation, reading)

        try:
            replace(self, observe=ignore_call)._run(ask, SHORT_SECONDS)
            note_write(self.using)
        except Error as error:
            raise Unavailable(
                "the database's tables are not those of this version: run 'convstore"
                " migrate_memories'"
            ) from error

    def _run(self, work: Callable[[Statements], Reply], seconds: float | None = None) -> Reply:
        def run() -> Reply:
            return done(work(self.variant(self.using)))

        return run_transaction(self.using, run, self.observe, seconds)

    def _run_outside_deletion(self, key: UUID, work: Callable[[], Result]) -> Result:
        """What `work` returns, in a transaction; if the conversation `key` is being deleted, after
        the end of that, so that it begins anew."""
        try:
            return run_transaction(self.using, work, self.observe)
        except IdentityClash:
            if not finish_deletion(self.using, key):
                raise
        return run_transaction(self.using, work, self.observe)

    def _refuse_atomic(self) -> None:
        if connections[self.using].in_atomic_block:
            raise RuntimeError(
                "an exchange inside transaction.atomic() would return before its COMMIT:"
                " call it outside of atomic() and without ATOMIC_REQUESTS"
            )


def _window(reply: Reply) -> Window:
    window = Window(reply.rows)
    if reply.truncated:
        window.truncated = True
    return window


def reading_of(window: int | WindowOptions, expected_position: int | None = None) -> Reading:
    """What a transaction reads, with the limits that the settings have now."""
    limits = (max_reply_bytes(), max_window(), truncates_replies())
    return _reading_of(window, *limits, expected_position)


# To make one anew for each request would take a few percent of a read.
@lru_cache(maxsize=100)
def _reading_of(
    window: int | WindowOptions,
    max_bytes: int,
    max_messages: int,
    truncate: bool,
    expected_position: int | None,
) -> Reading:
    options = WindowOptions(window) if isinstance(window, int) else window
    limits = (max_bytes, max_messages, truncate, expected_position)
    return Reading(options.size, options.unit, options.tokens, *limits, options.items)


def _conversation_ref(memory_id: str) -> ConversationRef:
    return ConversationRef(conversation_key(memory_id), memory_id, datetime.now(UTC))
