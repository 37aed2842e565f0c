"""Changes of a conversation beside appends: its metadata, and messages that are erased.

Each is one transaction under the conversation's row lock, and counts up `changes`. On SQLite it
waits for its turn among the writers of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import F

from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import History
from convstore.archive.word_switch import words_are_on, words_of
from convstore.errors import UnknownConversation
from convstore.exchange.creation import write_transaction
from convstore.exchange.item_ids import add_mark, has_mark
from convstore.exchange.metadata import add_pairs, remove_pairs, spelled
from convstore.exchange.statements import NO_FINGERPRINT
from convstore.messages import Message
from convstore.models import Kind
from convstore.words import texts_of

ERASED: Mapping[str, Any] = {
    "kind": Kind.ERASED,
    "role": "",
    "body": "{}",
    "fingerprint": NO_FINGERPRINT,
    "size": 2,
    "tokens": None,
    "words": None,
}


def nothing_of(body: str) -> None:
    """The rest of a message that is erased whole."""


def set_metadata(
    using: str, key: UUID, memory_id: str, pairs: Mapping[str, str], mark: UUID | None = None
) -> None:
    """Replace all metadata, but only once for each `mark` of a request.

    Raises UnknownConversation.
    """
    with write_transaction(using):
        conversation = _locked(using, key, memory_id)
        if mark is not None:
            if has_mark(using, key, mark):
                return
            add_mark(using, key, mark)
        remove_pairs(using, conversation)
        add_pairs(using, key, conversation.created_at, pairs)
        _change(using, key, metadata=spelled(pairs))


def erase_message(
    using: str,
    key: UUID,
    memory_id: str,
    position: int,
    rest: Callable[[str], Message | None] = nothing_of,
) -> bool:
    """Erase what the row at `position` says, but for the `rest` of its body; whether there was
    such a row.

    An erased row stays, with its position and its request_key, by which a late retry is
    recognised. Raises UnknownConversation.
    """
    with write_transaction(using):
        _locked(using, key, memory_id)
        rows = History(using, key).messages().filter(position=position)
        for body in rows.values_list("body", flat=True):
            message = rest(body)
            if message is None:
                rows.update(**ERASED)
                _change(using, key, erased=F("erased") + 1)
            else:
                rows.update(**_columns(using, message))
                _change(using, key)
            return True
    return False


def _columns(using: str, message: Message) -> dict[str, object]:
    body = message.to_json()
    return {
        "body": body,
        "fingerprint": NO_FINGERPRINT,
        "size": len(body.encode()),
        "tokens": None,
        "words": words_of(using, texts_of(message)) if words_are_on(using) else None,
    }


def _locked(using: str, key: UUID, memory_id: str) -> ConversationRow:
    for row in conversations(using).filter(pk=key).select_for_update():
        if row.memory_id == memory_id:
            return row
    raise UnknownConversation("there is no conversation with this id")


def _change(using: str, key: UUID, **columns: object) -> None:
    conversations(using).filter(pk=key).update(changes=F("changes") + 1, **columns)
