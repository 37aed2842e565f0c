"""The operation through the ORM, for every database that Django speaks.

Knows the seam and the models; knows no vendor and no retries.
"""

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
from convstore.models import Conversation, Message


@dataclass(frozen=True, slots=True)
class PortableOrm:
    """The four steps with what every vendor has.

    That is: no RETURNING, no ignore_conflicts, no upsert, no slice under FOR UPDATE. SQL
    Server or Oracle lack each of them.
    """

    using: str

    def exchange(
        self, to: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        while True:
            with transaction.atomic(self.using, durable=True):
                holder = self._lock(to)
                if holder == to.memory_id:
                    own = self._position_of(to, new[-1].request_key)
                    last = own or self._add(to, new)
                    return self._window(to, size, last)
            if holder is not None:
                return []
            self._create(to)

    def window(self, to: ConversationRef, size: int) -> list[StoredMessage]:
        return self._window(to, size, None)

    def _lock(self, to: ConversationRef) -> str | None:
        """Lock the conversation's row; the memory_id that it is of, or None for no row."""
        rows = Conversation.objects.using(self.using).filter(pk=to.key)
        for memory_id, active_at in rows.select_for_update().values_list("memory_id", "active_at"):
            if active_at < to.now - ACTIVE_STEP:
                rows.update(active_at=to.now)
            return memory_id
        return None

    def _create(self, to: ConversationRef) -> None:
        # In a transaction of its own: two first messages at once both come here, one of
        # the two INSERTs fails, and both go on to lock the row that is there now.
        try:
            with transaction.atomic(self.using, durable=True):
                Conversation.objects.using(self.using).create(
                    id=to.key, memory_id=to.memory_id, created_at=to.now, active_at=to.now
                )
        except IntegrityError:
            pass

    def _messages(self, to: ConversationRef) -> QuerySet[Message]:
        return Message.objects.using(self.using).filter(conversation_id=to.key)

    def _position_of(self, to: ConversationRef, request_key: UUID) -> int | None:
        rows = self._messages(to).filter(request_key=request_key)
        return next(iter(rows.values_list("position", flat=True)), None)

    def _add(self, to: ConversationRef, new: Sequence[NewMessage]) -> int:
        newest = self._messages(to).order_by("-position").values_list("position", flat=True)
        last: int = next(iter(newest[:1]), 0)
        Message.objects.using(self.using).bulk_create(
            Message(
                conversation_id=to.key,
                position=position,
                role=message.role,
                body=message.body,
                request_key=message.request_key,
                fingerprint=message.fingerprint,
                created_at=to.now,
            )
            for position, message in enumerate(new, last + 1)
        )
        return last + len(new)

    def _window(self, to: ConversationRef, size: int, last: int | None) -> list[StoredMessage]:
        rows = self._messages(to)
        if last is not None:
            rows = rows.filter(position__lte=last)
        newest = rows.order_by("-position").values_list("position", "role", "body")
        found = list(newest.values_list(*StoredMessage._fields, "conversation__memory_id")[:size])
        # Compared here, where no collation has a say in it.
        window = [StoredMessage(*row[:3]) for row in found if row[3] == to.memory_id]
        if size >= 2 and len(window) == size and window[-1].position > 1:
            first = newest.order_by().filter(position=1, role__in=PINNED_ROLES)
            window += [StoredMessage(*row) for row in first]
        return window
