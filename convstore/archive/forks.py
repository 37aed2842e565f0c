"""Forks: a conversation begins with the messages of another one, up to one of them.

The rows are copied in transactions of limited size. Until the last one, the copy has an id by
which nobody finds it, and which tells what it is a copy of: whoever asks for the same fork again
goes on with it. Who writes to its id in between deletes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

from django.db import IntegrityError

from convstore.archive import copying, erasure
from convstore.archive.conversations import conversations
from convstore.archive.copying import Copied, Fork, Source
from convstore.errors import Changed, Unavailable
from convstore.exchange.creation import write_transaction
from convstore.exchange.item_ids import has_mark
from convstore.exchange.portable_orm import NULL
from convstore.exchange.statements import Outcome, Reply
from convstore.transactions import done

# How long one call copies.
COPY_SECONDS = 20.0
Result = TypeVar("Result")


class Run(Protocol):
    """`ConversationStore.run`."""

    def __call__(self, work: Callable[[], Result]) -> Result: ...


def fork(run: Run, see: Callable[[], Source], new: Fork, seconds: float | None = None) -> Copied:
    """Begin the conversation `new` as a copy of what `see` has found, of one moment.

    If something is erased meanwhile, it begins anew, with what `see` finds then. A second call
    with the same `mark` does nothing. Raises ConversationExists, what `see` raises, and
    Unavailable, after which the same call goes on.
    """
    deadline = time.monotonic() + (COPY_SECONDS if seconds is None else seconds)
    if run(lambda: _is_done(new)):
        return Copied()
    while True:
        source = see()
        try:
            return run(partial(_copy, source, new, deadline))
        except Changed:
            if time.monotonic() > deadline:
                raise Unavailable(
                    "the conversation changes faster than it can be copied; send the request again"
                ) from None


def _copy(source: Source, new: Fork, deadline: float) -> Copied:
    """One transaction after another, until the copy is whole. Raises Changed."""
    hidden = erasure.id_of_copy(new.key, source.digest)
    messages, size = 0, 0
    if not _begin(new, hidden):
        return Copied()
    try:
        while some := copying.copy_messages(source, new, hidden):
            messages, size = messages + some.messages, size + some.size
            _refuse_late(new, deadline)
        after: UUID | None = None
        while after := copying.copy_ids(source, new, hidden, after):
            _refuse_late(new, deadline)
        copying.show(source, new, hidden)
    except Changed:
        erasure.finish_deletion(new.using, new.key)
        raise
    except copying.Lost:
        if not _is_done(new):
            raise Unavailable(
                "another request used this copy's id, so the copy was stopped; send the request"
                " again"
            ) from None
    return Copied(messages, size)


def _is_done(new: Fork) -> bool:
    """Whether this request has made the conversation. Raises ConversationExists if another has."""
    rows = conversations(new.using).filter(pk=new.key).values_list("memory_id", flat=True)
    if next(iter(rows), None) != new.memory_id:
        return False
    if not has_mark(new.using, new.key, new.mark):
        done(Reply(Outcome.EXISTS))
    return True


def _begin(new: Fork, hidden: str) -> bool:
    """Make the row of the copy, if it is not there; False if the copy is whole already."""
    rows = conversations(new.using).filter(pk=new.key).values_list("memory_id", flat=True)
    while not _is_done(new):
        found = next(iter(rows.all()), None)
        if found == hidden or (found is None and _create(new, hidden)):
            return True
        if found is not None and erasure.is_id_of_hidden(new.key, found):
            erasure.finish_deletion(new.using, new.key)
        elif found not in (None, new.memory_id):
            done(Reply(Outcome.ID_CLASH))
    return False


def _create(new: Fork, hidden: str) -> bool:
    now = datetime.now(UTC)
    try:
        with write_transaction(new.using):
            conversations(new.using).create(
                id=new.key,
                memory_id=hidden,
                created_at=now,
                active_at=now,
                first_live=NULL,
                metadata=NULL,
            )
    except IntegrityError:  # somebody else did
        return False
    return True


def _refuse_late(new: Fork, deadline: float) -> None:
    """Raise Unavailable at the end of the time. Without a known id nobody could go on."""
    if time.monotonic() > deadline:
        if not new.is_known:
            erasure.finish_deletion(new.using, new.key)
        raise Unavailable(
            "the conversation is being copied; send the request again with the same idempotency"
            " key or id, which goes on"
        )
