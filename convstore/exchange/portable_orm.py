"""The exchange through Django's ORM, for every database that Django supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from convstore.exchange.statements import (
    ACTIVE_STEP,
    PINNED_ROLES,
    ConversationRef,
    NewMessage,
    StoredMessage,
)
from convstore.models import IN_WINDOWS, Conversation, Message


@dataclass(frozen=True, slots=True)
class PortableOrm:
    """The four steps with features that every vendor has.

    It does without RETURNING, ignore_conflicts, upsert and a slice under FOR UPDATE: SQL
    Server or Oracle lack each of them.
    """

    using: str

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        while True:
            with transaction.atomic(self.using, durable=True):
                memory_id = self._lock(conversation)
                if memory_id == conversation.memory_id:
                    stored = self._position_of(conversation, new[-1].request_key)
                    last = stored or self._add(conversation, new)
                    return self._window(conversation, size, last)
            if memory_id is not None:  # a hash collision
                return []
            self._create(conversation)

    def window(self, conversation: ConversationRef, size: int) -> list[StoredMessage]:
        return self._window(conversation, size, None)

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
                )
        except IntegrityError:
            pass

    def _messages(self, conversation: ConversationRef) -> QuerySet[Message]:
        return Message.objects.using(self.using).filter(conversation_id=conversation.key)

    def _position_of(self, conversation: ConversationRef, request_key: UUID) -> int | None:
        rows = self._messages(conversation).filter(request_key=request_key)
        return next(iter(rows.values_list("position", flat=True)), None)

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
        return window
