"""Begin a conversation: its row, its metadata and its first messages, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from django.db import IntegrityError, connections, transaction

from convstore.exchange import item_ids, metadata
from convstore.exchange.portable_orm import NULL, PortableOrm
from convstore.exchange.sqlite import turn_to_write
from convstore.exchange.statements import ConversationRef, NewMessage, Outcome, Reply
from convstore.models import Conversation


def create(
    using: str,
    conversation: ConversationRef,
    new: Sequence[NewMessage],
    pairs: Mapping[str, str],
    mark: UUID,
) -> Reply:
    """Begin the conversation. One that is there already EXISTS, unless this request began it.

    `mark` stands for the request: what it says and its key.
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
                metadata=metadata.metadata_json(pairs) if pairs else NULL,
            )
            metadata.add_pairs(
                using, conversation.memory_id, conversation.key, conversation.now, pairs
            )
            item_ids.add_mark(using, conversation.key, mark)
            if new:
                PortableOrm(using).add(conversation, new, 0)
            return Reply(Outcome.DONE, len(new))
    except IntegrityError:
        row = Conversation.objects.using(using).filter(pk=conversation.key)
        memory_id = row.values_list("memory_id", flat=True).first()
        if memory_id != conversation.memory_id:
            return Reply(Outcome.NOT_STORED if memory_id is None else Outcome.ID_CLASH)
        is_ours = item_ids.has_mark(using, conversation.key, mark)
        return Reply(Outcome.DONE, len(new)) if is_ours else Reply(Outcome.EXISTS)


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
