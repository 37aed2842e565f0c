"""A fork: a new conversation with the items of another one, up to one of them."""

from __future__ import annotations

from conversations_api.access import shown_id_of, stored_id_of
from conversations_api.conversation_store import Conversations, key_reused
from conversations_api.items import beginning
from conversations_api.names import new_conversation_id
from conversations_api.reading import no_conversation
from conversations_api.requests import ForkFields
from convstore.archive import forks
from convstore.archive.changes import refuse_other_revision
from convstore.archive.conversations import ConversationRow
from convstore.archive.copying import Fork, Source, mark_of_fork
from convstore.errors import ConversationExists
from convstore.messages import Message
from convstore.request_log import current_record
from convstore.store import conversation_key
from memory_api.idempotency import request_key
from memory_api.memory_ids import checked_memory_id


def fork(
    conversations: Conversations, shown: str, fields: ForkFields, key: str | None = None
) -> ConversationRow:
    """Begin a conversation with the items of the one with the id `shown`.

    Raises NotFound, ConversationExists, and with an idempotency `key` RequestKeyReused.
    """
    caller, memory = conversations.caller, conversations.memory
    source_id = stored_id_of(caller, shown)
    if source_id is None:
        raise no_conversation()
    chosen = fields.own_id or new_conversation_id(memory.step, caller.tenant, key, source_id)
    checked_memory_id(chosen)
    memory_id = caller.stored_id(chosen)
    stored_as = request_key(memory, memory_id, key, None, ())
    new = Fork(
        using=conversations.using,
        key=conversation_key(memory_id),
        memory_id=memory_id,
        forked_from=shown_id_of(caller, source_id),
        pairs=fields.pairs,
        mark=mark_of_fork(stored_as, source_id, fields.up_to, fields.pairs),
        is_known=key is not None or fields.own_id is not None,
    )
    try:
        copied = forks.fork(memory.store.run, lambda: _see(conversations, shown, fields), new)
    except ConversationExists:
        if fields.own_id or key is None:
            raise
        raise key_reused() from None
    current_record().bytes_stored = copied.size
    conversations.note_stored(memory_id, copied.messages)
    return conversations.find(conversations.shown_id(memory_id)).row


def _see(conversations: Conversations, shown: str, fields: ForkFields) -> Source:
    stored = conversations.items(shown)
    refuse_other_revision(conversations.revisions, stored.found.revision)
    position, items = stored.end_of(fields.up_to)

    def rest(body: str) -> Message | None:
        return beginning(Message.from_json(body), items or 0)

    return Source(stored.found.row, position, items, rest)
