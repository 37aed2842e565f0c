"""Begin a conversation: its row, its metadata and its first messages, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import IntegrityError, connections, transaction

from convstore.exchange import metadata
from convstore.exchange.portable_orm import NULL, PortableOrm
from convstore.exchange.sqlite import turn_to_write
from convstore.exchange.statements import ConversationRef, NewMessage, Outcome, Reply, outcome_of
from convstore.models import Conversation


def create(
    using: str,
    conversation: ConversationRef,
    new: Sequence[NewMessage],
    pairs: Mapping[str, str],
    *,
    may_exist: bool,
) -> Reply:
    """Begin the conversation. One that is there already EXISTS.

    With `may_exist`, it is nobody's but this request's, which is delivered again: that is DONE, and
    if it has other messages this time, KEY_REUSED.
    """
    # Whoever creates it at the same time waits at the primary key, and so does an exchange.
    try:
        with write_transaction(using):
            Conversation.objects.using(using).create(
                id=conversation.key,
                memory_id=conversation.memory_id,
                created_at=conversation.now,
                active_at=conversation.now,
                first_live=NULL,
                metadata=metadata.spelled(pairs) if pairs else NULL,
            )
            metadata.add_pairs(using, conversation.key, conversation.now, pairs)
            if new:
                PortableOrm(using).add(conversation, new, 0)
            return Reply(Outcome.DONE, len(new))
    except IntegrityError:
        row = Conversation.objects.using(using).filter(pk=conversation.key)
        memory_id = row.values_list("memory_id", flat=True).first()
        if memory_id != conversation.memory_id:
            return Reply(Outcome.NOT_STORED if memory_id is None else Outcome.ID_CLASH)
        return _found(using, conversation, new) if may_exist else Reply(Outcome.EXISTS)


def _found(using: str, conversation: ConversationRef, new: Sequence[NewMessage]) -> Reply:
    if not new:
        return Reply(Outcome.DONE)
    found = PortableOrm(using).find(conversation, new)
    outcome = outcome_of(found, conversation.memory_id, len(new))
    if outcome == Outcome.NOT_STORED:
        outcome = Outcome.KEY_REUSED
    return Reply(outcome, found.last or 0)


@contextmanager
def write_transaction(using: str) -> Iterator[None]:
    """A transaction that writes; on SQLite, in turn with the others of this process."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        with turn_to_write(connection), transaction.atomic(using, durable=True):
            yield
    else:
        with transaction.atomic(using, durable=True):
            yield
