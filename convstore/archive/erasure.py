"""Conversations deleted for good, in transactions of bounded size.

The oldest messages go first: who writes meanwhile keeps counting, and a deletion that was
cut off has left a shorter conversation, which the next one ends. Knows the rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from convstore.archive.history import with_length
from convstore.models import Conversation, Message

# The most messages that one transaction deletes.
BATCH = 500


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """How many messages went, and whether the conversation itself is gone."""

    messages: int
    gone: bool


def counted(conversations: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Each with its `count`: how many messages there are, those before deleted ones left out."""
    oldest = Message.objects.filter(conversation_id=OuterRef("pk")).order_by("position")
    first = Subquery(oldest.values("position")[:1])
    return with_length(conversations).annotate(count=Coalesce(F("length") - first + 1, 0))


def erase(using: str, key: UUID, seconds: float) -> ErasureResult:
    """Delete the conversation `key` and all its messages, for at most about `seconds`.

    Messages that come meanwhile are deleted as well. A call that ran out of its time is
    repeated; one for a conversation that is not there deletes nothing and says that it is gone.
    """
    deadline = time.monotonic() + seconds
    messages = 0
    while True:
        erased = _erase_some(using, key)
        messages += erased.messages
        if erased.gone or time.monotonic() > deadline:
            return ErasureResult(messages, erased.gone)


def _erase_some(using: str, key: UUID) -> ErasureResult:
    """One transaction: the oldest messages, and the conversation with the last of them."""
    rows = Message.objects.using(using).filter(conversation_id=key)
    with transaction.atomic(using, durable=True):
        # The lock that appends take: no message can come between the last one's deletion and
        # the conversation's own. Whoever waits for it begins the conversation anew.
        conversation = Conversation.objects.using(using).filter(pk=key).select_for_update()
        if not conversation:
            return ErasureResult(0, gone=True)
        oldest = list(rows.order_by("position").values_list("position", flat=True)[: BATCH + 1])
        if oldest:
            end = oldest[:BATCH][-1]
            rows.filter(position__lte=end).delete()
        if len(oldest) > BATCH:
            return ErasureResult(BATCH, gone=False)
        conversation.delete()
        return ErasureResult(len(oldest), gone=True)
