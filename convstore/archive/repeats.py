"""Whether a request that changes a conversation was done before, or its key was another one's.

A change looks that up in the transaction that holds the conversation's lock, which settles two
deliveries at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from convstore.archive.history import History
from convstore.exchange.item_ids import add_mark, marks_among
from convstore.exchange.new_messages import fingerprint_of
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
    outcome_of,
)
from convstore.messages import Message, dumps
from convstore.transactions import done

METADATA, CUT = "metadata", "cut"


def nothing_of(body: str) -> None:
    """The rest of a message that is erased whole."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a conversation that is to go: all messages from the position `start` on.

    Of the one at `start`, the first `kept` items stay, which are the `rest` of its body.
    """

    start: int
    rest: Callable[[str], Message | None] = nothing_of
    kept: int = 0


def said_of(tail: Tail | None) -> str:
    """What a request says beside its messages; nothing if it only adds, as an exchange does."""
    return dumps(["from", tail.start, tail.kept]) if tail else ""


def is_noted(
    using: str, conversation: UUID, request_key: UUID, kind: str, said: str, *older: UUID
) -> bool:
    """Whether a request that adds nothing was done before.

    Raises RequestKeyReused if one of this kind that said something else had the key. Marks of
    `older` versions tell no more than that it was done.
    """
    mark, used = uuid.uuid5(request_key, said), _mark_of_use(request_key, kind)
    known = marks_among(using, conversation, {mark, used, *older})
    if known == {used}:
        done(Reply(Outcome.KEY_REUSED))
    return bool(known)


def note(using: str, conversation: UUID, request_key: UUID, kind: str, said: str) -> None:
    """Note that a request that adds nothing is done, for the next time that it comes."""
    add_mark(using, conversation, uuid.uuid5(request_key, said))
    add_mark(using, conversation, _mark_of_use(request_key, kind))


def end_of_repeat(
    using: str,
    ref: ConversationRef,
    new: Sequence[NewMessage],
    tail: Tail | None,
    request_key: UUID,
) -> int | None:
    """The last position of a request that replaces the tail, if it was done before.

    Raises RequestKeyReused if another request had its key.
    """
    history = History(using, ref.key)
    if not new:
        if history.rows().filter(request_key=request_key).exists():
            done(Reply(Outcome.KEY_REUSED))
        is_done = is_noted(using, ref.key, request_key, CUT, said_of(tail), request_key)
        return history.length() if is_done else None
    statements = PortableOrm(using)
    found = statements.find(ref, new)
    if not found.keys:
        refuse_key_of_cut(using, ref.key, request_key)
        return None
    last = found.last or 0
    outcome = outcome_of(found, ref.memory_id, len(new))
    if outcome is Outcome.KEY_REUSED and tail and _is_gone(history, tail, last - len(new)):
        # Older versions stored the messages with the fingerprint of an exchange.
        plain = fingerprint_of([message.body.encode() for message in new])
        older = [replace(message, fingerprint=plain) for message in new]
        outcome = outcome_of(statements.find(ref, older), ref.memory_id, len(new))
    return done(Reply(outcome, last)).last


def refuse_key_of_cut(using: str, conversation: UUID, request_key: UUID) -> None:
    """Raise RequestKeyReused if a request that replaced the tail by nothing had the key."""
    if marks_among(using, conversation, {_mark_of_use(request_key, CUT), request_key}):
        done(Reply(Outcome.KEY_REUSED))


def _mark_of_use(request_key: UUID, kind: str) -> UUID:
    return uuid.uuid5(request_key, kind)


def _is_gone(history: History, tail: Tail, end: int) -> bool:
    """Whether the tail is erased up to the position `end`."""
    rows = history.messages().filter(position__gte=tail.start, position__lte=end)
    left = dict(rows.order_by("position").values_list("position", "body")[:2])
    first = left.pop(tail.start, None)
    rest = None if first is None else tail.rest(first)
    return not left and (first is None or (rest is not None and rest.to_json() == first))
