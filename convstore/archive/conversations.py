"""Queries for conversations: by key, by memory_id, page by page, and a summary of each row.

Every query uses an index, so its cost does not grow with the number of conversations.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.expressions import OrderBy
from django.db.models.functions import Coalesce, Substr
from django.db.models.lookups import BuiltinLookup, GreaterThan, GreaterThanOrEqual

from convstore.archive.history import MessageRow
from convstore.database.vendors import vendor_for
from convstore.exchange.metadata import pair_digest
from convstore.exchange.statements import PINNED_ROLES
from convstore.models import IN_WINDOWS, NOT_ERASED, Conversation, MetadataPair

# The model, under the name that callers of the archive use.
ConversationRow = Conversation

# A conversation in the order of ids: its memory_id and its key.
Place = tuple[str, UUID]

# How many characters of a message's JSON are read for the first line of a conversation.
OPENING_CHARACTERS = 600


def conversations(using: str) -> QuerySet[ConversationRow]:
    """All conversations in the database `using`, unordered."""
    return ConversationRow.objects.using(using).all()


def find_conversation(using: str, key: UUID, memory_id: str) -> ConversationRow | None:
    """The conversation with its `length`; None if there is none, or it is being deleted."""
    rows = with_length(conversations(using)).filter(pk=key)
    return next((row for row in rows if row.memory_id == memory_id), None)


def is_as_seen(using: str, seen: ConversationRow) -> bool:
    """Whether nothing of the conversation was erased, and it was not deleted, since it was read."""
    rows = conversations(using).filter(pk=seen.pk)
    was = seen.memory_id, seen.created_at, seen.changes
    return was in rows.values_list("memory_id", "created_at", "changes")


def conversation_with_key(using: str, key: UUID) -> ConversationRow | None:
    """The conversation with its `length` and `message_count`, or None.

    It also has the positions of its `oldest` and `newest` message and, as `last_message_at`, the
    time of the newest one; None if it has no messages.
    """
    rows = with_message_count(conversations(using)).filter(pk=key)
    ends = {"oldest": _end("position"), "newest": _end("-position")}
    last_message_at = _end("-position", column="created_at")
    return rows.annotate(**ends, last_message_at=last_message_at).first()


def conversations_with_keys(using: str, keys: Iterable[UUID]) -> list[ConversationRow]:
    """The conversations with these keys, ordered by memory_id; keys that do not exist are ignored.

    Each row has its `length` and `message_count`.
    """
    rows = conversations(using).filter(pk__in=list(keys))
    return list(with_message_count(rows).order_by("memory_id"))


# A key that no conversation has.
BEFORE_ALL = UUID(int=0)


def find_by_memory_id(
    rows: QuerySet[ConversationRow],
    prefix: str,
    exact_key: UUID,
    limit: int,
    after: Place | None = None,
) -> tuple[list[ConversationRow], Place | None]:
    """At most `limit` rows whose memory_id begins with `prefix`, ordered by memory_id.

    `exact_key` is the key of the memory_id that equals `prefix`: it is the first one, if it exists.
    Also returns the place of the last row, after which a next call goes on; None at the end.
    """
    exact = [] if after else list(rows.filter(pk=exact_key))
    longer = with_prefix(rows, prefix).exclude(pk=exact_key)
    if after:
        at, pk = after
        # The first condition can use the index; the second is for collations that ignore spaces.
        longer = longer.filter(FromId(F("memory_id"), at))
        longer = longer.filter(Q(AfterId(F("memory_id"), at)) | Q(pk__gt=pk))
    found = [*exact, *longer.order_by(ById(F("memory_id")), "pk")[: limit + 1]]
    # A collation may treat different letters as equal; a prefix search must not.
    matches = [row for row in found[:limit] if row.memory_id.startswith(prefix)]
    if len(found) <= limit:
        return matches, None
    return matches, place_by_id(found[limit - 1], exact_key)


def place_by_id(row: ConversationRow, exact_key: UUID) -> Place:
    """The place of a row that `find_by_memory_id` found, after which a next call goes on."""
    # Behind the exact match come all others, also those that a collation treats as equal to it.
    return row.memory_id, BEFORE_ALL if row.pk == exact_key else row.pk


# --- The order of the index of ids -------------------------------------------------------


class ById(OrderBy):
    """An order by memory_id for which there is an index."""

    def as_sql(
        self, compiler: Any, connection: Any, template: str | None = None, **context: Any
    ) -> Any:
        if byte_order := vendor_for(connection.alias).byte_order:
            template = byte_order.ascending
        return super().as_sql(compiler, connection, template, **context)


class _InIdOrder(BuiltinLookup):
    """A comparison in that order."""

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        byte_order = vendor_for(connection.alias).byte_order
        if byte_order is None:
            return super().get_rhs_op(connection, rhs)
        return f"{byte_order.operators[str(self.lookup_name)]} {rhs}"


class FromId(_InIdOrder, GreaterThanOrEqual):
    pass


class AfterId(_InIdOrder, GreaterThan):
    pass


# --- Conditions of a list ----------------------------------------------------------------


def older_rows(rows: QuerySet[Any], field: str, at: datetime, pk: object) -> QuerySet[Any]:
    """Keyset pagination: the rows that are older than the row with this time and key.

    `rows` must be ordered by `-field`, then `-pk`. The first condition can use the index; the
    second one decides between rows with the same time.
    """
    return rows.filter(**{f"{field}__lte": at}).filter(Q(**{f"{field}__lt": at}) | Q(pk__lt=pk))


def newer_rows(rows: QuerySet[Any], field: str, at: datetime, pk: object) -> QuerySet[Any]:
    """The rows that are newer than the row with this time and key; see `older_rows`."""
    return rows.filter(**{f"{field}__gte": at}).filter(Q(**{f"{field}__gt": at}) | Q(pk__gt=pk))


def with_prefix(rows: QuerySet[ConversationRow], prefix: str) -> QuerySet[ConversationRow]:
    """Prefix search by memory_id, with an index; the rows are unordered."""
    matches = rows.order_by().filter(memory_id__startswith=prefix)
    if vendor_for(rows.db).like_ignores_case:
        # Such a LIKE cannot use the index. A range can, and it compares code points.
        return matches.filter(memory_id__gte=prefix, memory_id__lt=f"{prefix}\U0010ffff")
    return matches


def of_tenant(rows: QuerySet[ConversationRow], id_prefix: str) -> QuerySet[ConversationRow]:
    """The rows of the tenant whose ids begin so, up to their first slash; unordered."""
    condition = vendor_for(rows.db).of_tenant
    if condition is None:
        return with_prefix(rows, id_prefix)
    # A RawSQL would be compared with 1 on MySQL, which then uses no index.
    return rows.order_by().extra(where=[condition], params=[id_prefix])  # noqa: S610 - no client's text


def with_pair(rows: QuerySet[ConversationRow], name: str, value: str) -> QuerySet[ConversationRow]:
    """The rows with this pair in their metadata; it reads the keys of all of them."""
    pairs = MetadataPair.objects.using(rows.db).filter(digest=pair_digest(name, value))
    return rows.filter(pk__in=pairs.values("conversation"))


# --- A summary of each row ---------------------------------------------------------------


def with_length(rows: QuerySet[ConversationRow]) -> QuerySet[ConversationRow]:
    """Each row with its `length`: its highest position, read from the end of the primary key."""
    return rows.annotate(length=_end("-position", Q()))


def with_message_count(rows: QuerySet[ConversationRow]) -> QuerySet[ConversationRow]:
    """Each row with its `length` and its `message_count`.

    The count may be less than the length: some messages may be erased, and an interrupted deletion
    removes the oldest ones.
    """
    count = F("length") - _end("position", Q()) + 1 - F("erased")
    return with_length(rows).annotate(message_count=Coalesce(count, 0))


def with_summary(rows: QuerySet[ConversationRow], *, opening: bool) -> QuerySet[ConversationRow]:
    """Each row with its `length`, `message_count` and the time of its last message.

    The time is called `last_message_at`.

    With `opening`, each row also has the first characters of the JSON of two messages: as `opening`
    of its first message that is not pinned, and as `closing` of its last one.
    """
    summary = {"last_message_at": _end("-position", column="created_at")}
    if opening:
        summary |= {"opening": _opening_text(), "closing": _closing_text()}
    return with_message_count(rows).annotate(**summary)


def _end(order: str, condition: Q = NOT_ERASED, column: str = "position") -> Subquery:
    """A column of a conversation's first row in this order."""
    rows = MessageRow.objects.filter(condition, conversation_id=OuterRef("pk"))
    return Subquery(rows.order_by(order).values(column)[:1])


def _opening_text() -> Subquery:
    # A pinned first message instructs the assistant; many conversations have the same one.
    pinned = When(position=1, role__in=PINNED_ROLES, then=Value(3))
    first_two = MessageRow.objects.filter(IN_WINDOWS, conversation=OuterRef("pk"), position__lte=2)
    order = Case(pinned, default=F("position"), output_field=BigIntegerField())
    return _beginning(first_two.order_by(order))


def _closing_text() -> Subquery:
    rows = MessageRow.objects.filter(NOT_ERASED, conversation_id=OuterRef("pk"))
    return _beginning(rows.order_by("-position"))


def _beginning(rows: QuerySet[MessageRow]) -> Subquery:
    """The first characters of the JSON of the first of the rows."""
    beginnings = rows.annotate(beginning=Substr("body", 1, OPENING_CHARACTERS))
    return Subquery(beginnings.values("beginning")[:1])
