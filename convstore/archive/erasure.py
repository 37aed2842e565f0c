"""Erase a conversation in transactions of limited size.

The oldest messages are deleted first. A message that is added meanwhile still gets the next
position. An interrupted deletion leaves a shorter conversation, and the next call deletes that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F

from convstore.archive.conversations import conversations
from convstore.archive.history import History
from convstore.models import Kind

# The most messages that one transaction deletes.
BATCH = 500


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """How many messages were deleted, and whether the conversation no longer exists."""

    messages: int
    gone: bool


def erase(using: str, key: UUID, seconds: float) -> ErasureResult:
    """Delete the conversation `key` and all its messages, within about `seconds`.

    Messages that arrive during the deletion are deleted too. If `gone` is false, the time was too
    short: call this again. For an unknown key, nothing is deleted and `gone` is true.
    """
    deadline = time.monotonic() + seconds
    messages = 0
    while True:
        result = _erase_batch(using, key)
        messages += result.messages
        if result.gone or time.monotonic() > deadline:
            return ErasureResult(messages, result.gone)


def _erase_batch(using: str, key: UUID) -> ErasureResult:
    """Delete the oldest messages and, if no others are left, the conversation. One transaction."""
    rows = History(using, key).rows()
    with transaction.atomic(using, durable=True):
        # Appends take the same row lock, so none can add a message after the last one was deleted
        # and before the conversation is. An append that waits creates a new conversation.
        conversation = conversations(using).filter(pk=key).select_for_update()
        if not conversation:
            return ErasureResult(0, gone=True)
        oldest = list(rows.order_by("position").values_list("position", "kind")[: BATCH + 1])
        batch = oldest[:BATCH]
        erased = sum(kind == Kind.ERASED for _, kind in batch)
        if batch:
            rows.filter(position__lte=batch[-1][0]).delete()
        if len(oldest) > BATCH:
            if erased:
                conversation.update(erased=F("erased") - erased)
            return ErasureResult(BATCH - erased, gone=False)
        conversation.delete()
        return ErasureResult(len(batch) - erased, gone=True)
