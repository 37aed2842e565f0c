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

from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import History
from convstore.errors import Unavailable
from convstore.exchange.metadata import remove_pairs
from convstore.models import ItemId, Kind

# The most messages that one transaction deletes or copies.
BATCH = 500
# How long one call deletes a conversation that is gone for readers.
DELETION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """How many messages were deleted, and whether the conversation no longer exists."""

    messages: int
    gone: bool


def erase(using: str, key: UUID, seconds: float, memory_id: str | None = None) -> ErasureResult:
    """Delete the conversation `key` and all its messages, within about `seconds`.

    Messages that arrive during the deletion are deleted too. If `gone` is false, the time was too
    short: call this again. For an unknown key, nothing is deleted and `gone` is true; so it is for
    a conversation with another `memory_id`, if that is given.
    """
    deadline = time.monotonic() + seconds
    messages = 0
    while True:
        result = _erase_batch(using, key, memory_id)
        messages += result.messages
        if result.gone or time.monotonic() > deadline:
            return ErasureResult(messages, result.gone)


def _erase_batch(using: str, key: UUID, memory_id: str | None) -> ErasureResult:
    """Delete the oldest messages and, if no others are left, the conversation. One transaction."""
    rows = History(using, key).rows()
    with transaction.atomic(using, durable=True):
        # Appends take the same row lock, so none can add a message after the last one was deleted
        # and before the conversation is. An append that waits creates a new conversation.
        conversation = conversations(using).filter(pk=key).select_for_update()
        found = next(iter(conversation), None)
        if found is None or memory_id not in (None, found.memory_id):
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
        if not _erase_ids(using, key):
            return ErasureResult(len(batch) - erased, gone=False)
        remove_pairs(using, found)
        conversation.delete()
        return ErasureResult(len(batch) - erased, gone=True)


def _erase_ids(using: str, key: UUID) -> bool:
    """Delete ids of the conversation's items, as many as a batch may; whether those were all."""
    rows = ItemId.objects.using(using).filter(conversation=key)
    digests = list(rows.order_by("digest").values_list("digest", flat=True)[:BATCH])
    if digests:
        rows.filter(digest__in=digests).delete()
    return len(digests) < BATCH


# --- Gone at once ------------------------------------------------------------------------


def hide(using: str, key: UUID) -> None:
    """Let no reader find the conversation from now on, until `finish_deletion` has deleted it."""
    rows = conversations(using).filter(pk=key)
    # Its pairs are found by its id, which is gone afterwards.
    for row in rows:
        remove_pairs(using, row)
    # Readers and writers compare the id of the row. This one has another key.
    rows.update(memory_id=_id_of_hidden(key))


def is_hidden(using: str, key: UUID) -> bool:
    return _memory_id(using, key) == _id_of_hidden(key)


def is_there(row: ConversationRow) -> bool:
    """Whether readers find it: it is not hidden."""
    return not is_id_of_hidden(row.id, row.memory_id)


def finish_deletion(using: str, key: UUID, seconds: float = DELETION_SECONDS) -> bool:
    """Delete the conversation if it is hidden, and return whether it was.

    So is a copy that is not whole yet; whoever makes it then finds it gone. Raises Unavailable if
    that takes longer than `seconds`; then this is to be called again.
    """
    memory_id = _memory_id(using, key)
    if memory_id is None or not is_id_of_hidden(key, memory_id):
        return False
    if memory_id != _id_of_hidden(key):
        # The copy may be whole by now: then it has another id, and stays.
        copy = conversations(using).filter(pk=key, memory_id=memory_id)
        copy.update(memory_id=_id_of_hidden(key))
    if not erase(using, key, seconds, _id_of_hidden(key)).gone:
        raise Unavailable("the conversation is being deleted; send the request again")
    return True


def id_of_copy(key: UUID, source: UUID) -> str:
    """What nobody finds a conversation by that is being copied; `source` tells from what."""
    return f"copy {key.hex} {source.hex}"


def is_id_of_hidden(key: UUID, memory_id: str) -> bool:
    """Whether nobody finds the conversation: it is being deleted or copied."""
    return memory_id == _id_of_hidden(key) or memory_id.startswith(f"copy {key.hex} ")


def _id_of_hidden(key: UUID) -> str:
    return f"deleted {key.hex}"


def _memory_id(using: str, key: UUID) -> str | None:
    rows = conversations(using).filter(pk=key).values_list("memory_id", flat=True)
    return next(iter(rows), None)
