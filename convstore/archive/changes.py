"""Changes of a conversation beside appends: its metadata, and messages that are erased.

Each is one transaction under the conversation's row lock, and counts up `changes`, a part of the
conversation's revision. On SQLite it waits for its turn among the writers of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from convstore.archive import erasure
from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import History
from convstore.archive.repeats import (
    CUT,
    METADATA,
    Tail,
    end_of_repeat,
    is_noted,
    note,
    nothing_of,
    said_of,
)
from convstore.archive.word_switch import words_are_on, words_of
from convstore.errors import Changed, UnknownConversation
from convstore.exchange.creation import write_transaction
from convstore.exchange.item_ids import add_mark, any_known, has_mark
from convstore.exchange.metadata import add_pairs, metadata_json, remove_pairs
from convstore.exchange.portable_orm import NULL, PortableOrm
from convstore.exchange.statements import (
    NO_FINGERPRINT,
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
)
from convstore.messages import Message, dumps
from convstore.models import Kind
from convstore.transactions import done
from convstore.words import texts_of

ERASED: Mapping[str, Any] = {
    "kind": Kind.ERASED,
    "role": "",
    "body": "{}",
    "fingerprint": NO_FINGERPRINT,
    "size": 2,
    "tokens": NULL,
    "words": NULL,
}


@dataclass(frozen=True, slots=True)
class Target:
    """The conversation to change. With `revisions`, only if it is in one of them."""

    using: str
    key: UUID
    memory_id: str
    revisions: Collection[str] | None = None


def revision_of(row: ConversationRow, length: int) -> str:
    """What differs after each change: an append changes the length, all else the changes.

    A conversation that was deleted and begun again differs in the first part.
    """
    created = int(row.created_at.timestamp() * 1_000_000)
    return f"{created:x}-{length}-{row.changes}"


def set_metadata(target: Target, pairs: Mapping[str, str], request_key: UUID | None = None) -> None:
    """Replace all metadata, but only once for each `request_key`.

    Raises UnknownConversation, Changed and RequestKeyReused.
    """
    using, key, said = target.using, target.key, dumps(sorted(pairs.items()))
    with write_transaction(using):
        conversation = _lock_row(target)
        if request_key is not None:
            if is_noted(using, key, request_key, METADATA, said):
                return
            note(using, key, request_key, METADATA, said)
        _refuse_changed(target, conversation)
        remove_pairs(using, conversation)
        add_pairs(using, target.memory_id, key, conversation.created_at, pairs)
        _change(target, metadata=metadata_json(pairs))


def hide(target: Target) -> None:
    """Begin a deletion: from now on nobody finds the conversation. Raises as `set_metadata`."""
    with write_transaction(target.using):
        _refuse_changed(target, _lock_row(target))
        erasure.hide(target.using, target.key)


def erase_message(
    target: Target, position: int, rest: Callable[[str], Message | None] = nothing_of
) -> bool:
    """Erase what the row at `position` says, but for the `rest` of its body; whether there was
    such a row.

    An erased row stays, with its position and its request_key, by which a late retry is
    recognised. Raises UnknownConversation and Changed.
    """
    with write_transaction(target.using):
        _refuse_changed(target, _lock_row(target))
        return _erase(target, position, rest)


def erase_newest(target: Target, rest: Callable[[str], Message | None], mark: UUID) -> bool:
    """Erase what the newest message says, but for the `rest` of its body; whether there was one.

    It is done once for each `mark`; `rest` was called then. Raises as `erase_message`.
    """
    using, key = target.using, target.key
    with write_transaction(using):
        conversation = _lock_row(target)
        if has_mark(using, key, mark):
            return True
        _refuse_changed(target, conversation)
        newest = History(using, key).messages().order_by("-position")
        for position in newest.values_list("position", flat=True)[:1]:
            add_mark(using, key, mark)
            return _erase(target, position, rest)
        return False


def rewrite(target: Target, new: Sequence[NewMessage], tail: Tail | None, request_key: UUID) -> int:
    """Erase the tail, and add new messages behind it; the last one's position.

    If a request with this key said the same, it was this one, and nothing is done. `new` have the
    fingerprint of what is said of the tail, too. Raises UnknownConversation, Changed,
    DuplicateItem and RequestKeyReused.
    """
    ref = ConversationRef(target.key, target.memory_id, datetime.now(UTC))
    with write_transaction(target.using):
        conversation = _lock_row(target)
        end = end_of_repeat(target.using, ref, new, tail, request_key)
        if end is not None:
            return end
        if not new:
            note(target.using, target.key, request_key, CUT, said_of(tail))
        _refuse_changed(target, conversation)
        if any_known(target.using, ref, new):
            done(Reply(Outcome.DUPLICATE_ID))
        if tail is not None:
            _erase_tail(target, tail)
        last = History(target.using, target.key).length()
        if new:
            PortableOrm(target.using).add(ref, new, last)
        return last + len(new)


def _erase_tail(target: Target, tail: Tail) -> None:
    _erase(target, tail.start, tail.rest)
    rows = History(target.using, target.key).messages().filter(position__gt=tail.start)
    if erased := rows.update(**ERASED):
        _change(target, erased=F("erased") + erased)


def _erase(target: Target, position: int, rest: Callable[[str], Message | None]) -> bool:
    rows = History(target.using, target.key).messages().filter(position=position)
    for body in rows.values_list("body", flat=True):
        message = rest(body)
        if message is None:
            rows.update(**ERASED)
            _change(target, erased=F("erased") + 1)
        else:
            rows.update(**columns_of(target.using, message))
            _change(target)
        return True
    return False


def columns_of(using: str, message: Message) -> dict[str, Any]:
    """The columns of a row of which only this message is left."""
    body = message.to_json()
    return {
        "body": body,
        "fingerprint": NO_FINGERPRINT,
        "size": len(body.encode()),
        "tokens": NULL,
        "words": words_of(using, texts_of(message)) if words_are_on(using) else NULL,
    }


def _lock_row(target: Target) -> ConversationRow:
    """The conversation's row, whose lock this transaction holds from now on."""
    for row in conversations(target.using).filter(pk=target.key).select_for_update():
        if row.memory_id == target.memory_id:
            return row
    raise UnknownConversation("there is no conversation with this id")


def _refuse_changed(target: Target, row: ConversationRow) -> None:
    if target.revisions is not None:
        # Read after the lock is held.
        length = History(target.using, target.key).length()
        refuse_other_revision(target.revisions, revision_of(row, length))


def refuse_other_revision(revisions: Collection[str] | None, revision: str) -> None:
    """Raise Changed if there are `revisions`, and this is none of them."""
    if revisions is not None and revision not in revisions:
        raise Changed(
            "the conversation has changed since it was read, so nothing was done; read it again"
        )


def _change(target: Target, **columns: object) -> None:
    rows = conversations(target.using).filter(pk=target.key)
    rows.update(changes=F("changes") + 1, **columns)
