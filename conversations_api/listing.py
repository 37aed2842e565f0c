"""A page of the list of conversations, in the order that is asked for."""

from __future__ import annotations

from conversations_api.conversation_store import Conversations
from conversations_api.errors import InvalidField
from conversations_api.requests import ACTIVE, ASCENDING, DESCENDING, ListQuery
from convstore.archive import erasure, lists
from convstore.archive.conversations import ConversationRow
from convstore.store import conversation_key

ORDERS = {DESCENDING: lists.NEWEST, ASCENDING: lists.OLDEST, ACTIVE: lists.LAST_ACTIVE}


def conversation_page(
    conversations: Conversations, query: ListQuery
) -> tuple[list[ConversationRow], bool]:
    """A page of the conversations that the caller may see, and whether more follow."""
    after = None if query.after is None else conversations.find(query.after, "after").row
    rows = _rows(conversations, query, after, query.limit + 1)
    return rows[: query.limit], len(rows) > query.limit


def _rows(
    conversations: Conversations, query: ListQuery, after: ConversationRow | None, limit: int
) -> list[ConversationRow]:
    using, run = conversations.using, conversations.memory.store.run
    caller, id_prefix = conversations.caller, conversations.caller.id_prefix

    def is_seen(row: ConversationRow) -> bool:
        """Whether it is the caller's, and not being deleted."""
        return row.memory_id.startswith(id_prefix) and erasure.is_there(row)

    if query.pair is not None:
        pair = query.pair
        return run(lambda: lists.list_with_pair(using, pair, after, limit, is_seen, id_prefix))
    if query.prefix is not None:
        prefix = caller.stored_id(query.prefix)
        _refuse_other_prefix(prefix, after)
        exact = conversation_key(prefix)
        return run(lambda: lists.list_by_id(using, prefix, exact, after, limit, is_seen))
    order = ORDERS[query.order]
    return run(lambda: lists.list_conversations(using, order, after, limit, is_seen, id_prefix))


def _refuse_other_prefix(prefix: str, after: ConversationRow | None) -> None:
    if after is not None and not after.memory_id.startswith(prefix):
        raise InvalidField(
            "'after' is the id of a conversation whose id does not begin with 'prefix'; send"
            " an id of the list",
            "after",
            "invalid_value",
        )
