"""The exchange through Django's ORM, for every database that Django supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Subquery, Value

from convstore.exchange import item_ids
from convstore.exchange.sizes import SIZE
from convstore.exchange.statements import (
    ACTIVE_STEP,
    NO_FINGERPRINT,
    PINNED_ROLES,
    ConversationRef,
    Found,
    NewMessage,
    Outcome,
    Reply,
    StoredMessage,
    ordered_window,
    outcome_of,
)
from convstore.models import IN_WINDOWS, NOT_ERASED, Conversation, Kind, Message
from convstore.windows import ALL, TOOL, TOOL_PAIR, Choice, Measures, Reading, choose

# How many keys one statement looks for: SQL Server takes 2,100 parameters.
KEYS_AT_ONCE = 1000
# In the statement's text: for a parameter that is None, SQL Server's driver asks for its type.
NULL: Any = Value(None)

MEASURES = ("position", "role", "bytes", "tokens")
FIRST_MEASURES = ("first_role", "first_bytes", "first_tokens")
# What differs after each erasure, and where a conversation was deleted and begun again.
STATE = ("conversation__created_at", "conversation__changes")
NO_STATE: Mapping[str, Any] = {}
MAX_POSITION = 2**63 - 1


class Measured(NamedTuple):
    """The newest messages, the last one first, the pinned one, and STATE as it was then."""

    newest: Sequence[Measures]
    pinned: Measures | None
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PortableOrm:
    """The five steps with features that every vendor has.

    It does without RETURNING, ignore_conflicts, upsert and a slice under FOR UPDATE: SQL
    Server or Oracle lack each of them.
    """

    using: str

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        while True:
            with transaction.atomic(self.using, durable=True):
                memory_id = self._lock(conversation)
                if memory_id == conversation.memory_id:
                    return self._exchange(conversation, new, reading)
            if memory_id is not None:
                return Reply(Outcome.ID_CLASH)
            self._create(conversation)

    def window(self, conversation: ConversationRef, reading: Reading) -> Reply:
        measured = self._measures(conversation, reading, MAX_POSITION)
        choice = choose(measured.newest, measured.pinned, reading)
        if choice.limit and not reading.truncate:
            return Reply(Outcome.TOO_LARGE, limit=choice.limit, fitting_size=choice.fitting_size)
        return self._read(conversation, reading, 0, measured.newest, choice, measured.state)

    def _exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        """The steps 2 to 5. In this transaction, what was added is known to be stored."""
        found = self.find(conversation, new)
        if found.last is not None:
            outcome = outcome_of(found, conversation.memory_id, len(new))
            if outcome != Outcome.DONE:
                return Reply(outcome)
            measured = self._measures(conversation, reading, found.last)
            choice = choose(measured.newest, measured.pinned, reading)
            return self._read(conversation, reading, found.last, measured.newest, choice)
        if max(message.size for message in new) > reading.max_bytes:
            return Reply(Outcome.TOO_LARGE)
        if item_ids.any_known(self.using, conversation, new):
            return Reply(Outcome.DUPLICATE_ID)
        last = self._last_position(conversation)
        if reading.expected_position not in (None, last):
            return Reply(Outcome.WRONG_POSITION, last)
        added = [
            Measures(last + n, m.role, m.size, m.tokens)
            for n, m in enumerate(new, 1)
            if m.kind == Kind.MESSAGE or reading.items == ALL
        ]
        measured = self._measures(conversation, reading, last, added[::-1])
        choice = choose(measured.newest, measured.pinned, reading)
        if choice.limit and not reading.truncate:
            return Reply(Outcome.TOO_LARGE, limit=choice.limit, fitting_size=choice.fitting_size)
        self.add(conversation, new, last)
        return self._read(conversation, reading, last + len(new), measured.newest, choice)

    def _lock(self, conversation: ConversationRef) -> str | None:
        """Lock the conversation's row; return its memory_id, or None if there is no row."""
        rows = Conversation.objects.using(self.using).filter(pk=conversation.key)
        for memory_id, active_at in rows.select_for_update().values_list("memory_id", "active_at"):
            if active_at < conversation.now - ACTIVE_STEP:
                rows.update(active_at=conversation.now)
            return memory_id
        return None

    def _create(self, conversation: ConversationRef) -> None:
        # In a transaction of its own: if two first messages race, both come here, one INSERT
        # fails, and both go on to lock the row that exists now.
        try:
            with transaction.atomic(self.using, durable=True):
                Conversation.objects.using(self.using).create(
                    id=conversation.key,
                    memory_id=conversation.memory_id,
                    created_at=conversation.now,
                    active_at=conversation.now,
                    first_live=NULL,
                    metadata=NULL,
                )
        except IntegrityError:
            pass

    def _messages(self, conversation: ConversationRef) -> QuerySet[Message]:
        return Message.objects.using(self.using).filter(conversation_id=conversation.key)

    def find(self, conversation: ConversationRef, new: Sequence[NewMessage]) -> Found:
        keys = [message.request_key for message in new]
        rows: list[tuple[int, UUID, int]] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = self._messages(conversation).filter(
                request_key__in=keys[start : start + KEYS_AT_ONCE]
            )
            rows += some.values_list("position", "fingerprint", "kind")
        marked = [mark == new[0].fingerprint for _, mark, _ in rows]
        known = (new[0].fingerprint, NO_FINGERPRINT)
        same = [mark in known or kind == Kind.ERASED for _, mark, kind in rows]
        last = max((position for position, _, _ in rows), default=None)
        return Found(conversation.memory_id, len(rows), sum(same), last, sum(marked))

    def _last_position(self, conversation: ConversationRef) -> int:
        newest = self._messages(conversation).order_by("-position")
        last: int = next(iter(newest.values_list("position", flat=True)[:1]), 0)
        return last

    def add(self, conversation: ConversationRef, new: Sequence[NewMessage], last: int) -> None:
        """Add them behind the position `last`, in the transaction that holds the lock."""
        Message.objects.using(self.using).bulk_create(
            Message(
                conversation_id=conversation.key,
                position=position,
                role=message.role,
                body=message.body,
                request_key=message.request_key,
                fingerprint=message.fingerprint,
                created_at=conversation.now,
                size=message.size,
                tokens=NULL if message.tokens is None else message.tokens,
                words=NULL if message.words is None else message.words,
                kind=message.kind,
            )
            for position, message in enumerate(new, last + 1)
        )
        item_ids.add(self.using, conversation, new, last)

    def _measures(
        self,
        conversation: ConversationRef,
        reading: Reading,
        last: int,
        added: Sequence[Measures] = (),
    ) -> Measured:
        """The measures of the messages that will be `added`, and of those up to `last`."""
        limit = min(reading.size, reading.max_messages + 1)
        stored = self._stored_measures(conversation, reading, last, limit - len(added))
        only_answers = all(message.role == TOOL for message in (*added, *stored.newest))
        if reading.unit == TOOL_PAIR and only_answers and len(stored.newest) >= limit - len(added):
            # Their call is further back.
            limit = reading.max_messages + 1
            stored = self._stored_measures(conversation, reading, last, limit)
        newest, pinned = [*added, *stored.newest], stored.pinned
        if len(newest) < 2 or reading.size < 2:
            return Measured(newest, None, stored.state)
        pinned = newest[-1] if newest[-1].position == 1 else pinned
        if pinned is None or pinned.role not in PINNED_ROLES:
            return Measured(newest, None, stored.state)
        return Measured([each for each in newest if each.position > 1], pinned, stored.state)

    def _stored_measures(
        self, conversation: ConversationRef, reading: Reading, last: int, limit: int
    ) -> Measured:
        """The measures of at least `limit` messages up to `last`, and of the one at position 1."""
        stored = self._stored_messages(conversation, reading).annotate(bytes=SIZE)
        first = stored.filter(position=1)
        rows = stored.filter(position__lte=last).order_by("-position")
        with_first = rows.annotate(
            first_role=Subquery(first.values("role")),
            first_bytes=Subquery(first.values("bytes")),
            first_tokens=Subquery(first.values("tokens")),
        ).values_list(*MEASURES, *FIRST_MEASURES, *STATE, "conversation__memory_id")
        found = list(with_first[: max(limit, 1)]) if last else []
        # Compared here, and not in SQL, where a collation may take two ids for one.
        if not found or found[0][-1] != conversation.memory_id:
            return Measured([], None, NO_STATE)
        role, size, tokens, *state = found[0][4:9]
        pinned = None if size is None else Measures(1, role, size, tokens)
        newest = [Measures(*row[:4]) for row in found]
        return Measured(newest, pinned, dict(zip(STATE, state, strict=True)))

    def _read(
        self,
        conversation: ConversationRef,
        reading: Reading,
        last: int,
        newest: Sequence[Measures],
        choice: Choice,
        state: Mapping[str, Any] = NO_STATE,
    ) -> Reply:
        """The reply with the chosen messages: one range of the primary key or two; who holds no
        lock names the `state` in which they were measured."""
        if not newest:
            return Reply(Outcome.DONE, last)
        as_measured = self._stored_messages(conversation, reading).filter(**state)
        stored = as_measured.values_list(*StoredMessage._fields)
        lowest = newest[choice.length - 1].position if choice.length else MAX_POSITION
        rows = stored.filter(position__gte=lowest, position__lte=newest[0].position)
        if choice.with_pinned:
            rows = rows.union(stored.filter(position=1), all=True)
        window = sorted(map(StoredMessage._make, rows))
        if len(window) < choice.length + choice.with_pinned:
            return Reply(Outcome.ERASED_MEANWHILE)
        return Reply(Outcome.DONE, last, ordered_window(window, reading), bool(choice.limit))

    def _stored_messages(
        self, conversation: ConversationRef, reading: Reading
    ) -> QuerySet[Message]:
        condition = NOT_ERASED if reading.items == ALL else IN_WINDOWS
        return self._messages(conversation).filter(condition)
