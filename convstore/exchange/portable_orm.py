"""The exchange through Django's ORM, for every database that Django supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Value

from convstore.exchange.statements import (
    ACTIVE_STEP,
    PINNED_ROLES,
    ConversationRef,
    Found,
    NewMessage,
    Outcome,
    Reply,
    StoredMessage,
    outcome_of,
    pinned_window,
)
from convstore.models import IN_WINDOWS, Conversation, Kind, Message

# How many keys one statement looks for: SQL Server takes 2,100 parameters.
KEYS_AT_ONCE = 1000
# In the statement's text: for a parameter that is None, SQL Server's driver asks for its type.
NULL: Any = Value(None)


@dataclass(frozen=True, slots=True)
class PortableOrm:
    """The five steps with features that every vendor has.

    It does without RETURNING, ignore_conflicts, upsert and a slice under FOR UPDATE: SQL
    Server or Oracle lack each of them.
    """

    using: str

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> Reply:
        while True:
            with transaction.atomic(self.using, durable=True):
                memory_id = self._lock(conversation)
                if memory_id == conversation.memory_id:
                    return self._exchange(conversation, new, size)
            if memory_id is not None:
                return Reply(Outcome.ID_CLASH)
            self._create(conversation)

    def window(self, conversation: ConversationRef, size: int) -> Reply:
        return Reply(Outcome.DONE, rows=self._window(conversation, size, None))

    def _exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> Reply:
        """The steps 2 to 5. In this transaction, what was added is known to be stored."""
        found = self._find(conversation, new)
        last = found.last or self._add(conversation, new)
        if found.keys:
            outcome = outcome_of(found, conversation.memory_id, len(new))
            if outcome != Outcome.DONE:
                return Reply(outcome)
        return Reply(Outcome.DONE, last, self._window(conversation, size, last))

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
                )
        except IntegrityError:
            pass

    def _messages(self, conversation: ConversationRef) -> QuerySet[Message]:
        return Message.objects.using(self.using).filter(conversation_id=conversation.key)

    def _find(self, conversation: ConversationRef, new: Sequence[NewMessage]) -> Found:
        keys = [message.request_key for message in new]
        rows: list[tuple[int, UUID, int]] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = self._messages(conversation).filter(
                request_key__in=keys[start : start + KEYS_AT_ONCE]
            )
            rows += some.values_list("position", "fingerprint", "kind")
        same = [kind == Kind.ERASED or mark == new[0].fingerprint for _, mark, kind in rows]
        last = max((position for position, _, _ in rows), default=None)
        return Found(conversation.memory_id, len(rows), sum(same), last)

    def _add(self, conversation: ConversationRef, new: Sequence[NewMessage]) -> int:
        newest = (
            self._messages(conversation).order_by("-position").values_list("position", flat=True)
        )
        last: int = next(iter(newest[:1]), 0)
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
                tokens=NULL,
            )
            for position, message in enumerate(new, last + 1)
        )
        return last + len(new)

    def _window(
        self, conversation: ConversationRef, size: int, last: int | None
    ) -> list[StoredMessage]:
        rows = self._messages(conversation).filter(IN_WINDOWS)
        if last is not None:
            rows = rows.filter(position__lte=last)
        newest = rows.order_by("-position").values_list("position", "role", "body")
        found = list(newest.values_list(*StoredMessage._fields, "conversation__memory_id")[:size])
        # Compared here, and not in SQL, where a collation may take two ids for one.
        window = [StoredMessage(*row[:3]) for row in found if row[3] == conversation.memory_id]
        if size >= 2 and len(window) == size and window[-1].position > 1:
            first = newest.order_by().filter(position=1, role__in=PINNED_ROLES)
            window += [StoredMessage(*row) for row in first]
        return pinned_window(window, size)
