"""Conversations as rows: one by its key, lists by keyset pagination, and figures of each.

Every query uses an index and costs the same, however many conversations there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Substr

from convstore.archive.history import MessageRow
from convstore.database.vendors import vendor_for
from convstore.exchange.statements import PINNED_ROLES
from convstore.models import Conversation

# How the archive's callers name the type.
ConversationRow = Conversation

# How many characters of a message's JSON are read to show how a conversation begins.
OPENING = 600


def conversations(using: str) -> QuerySet[ConversationRow]:
    """All conversations in the database `using`, in no order."""
    return ConversationRow.objects.using(using).all()


def conversation_with_key(using: str, key: UUID) -> ConversationRow | None:
    """The conversation with its `length` and `message_count`, or None."""
    return with_message_count(conversations(using)).filter(pk=key).first()


def conversations_with_keys(using: str, keys: Iterable[UUID]) -> list[ConversationRow]:
    """Those of the conversations that exist, by memory_id, with `length` and `message_count`."""
    rows = conversations(using).filter(pk__in=list(keys))
    return list(with_message_count(rows).order_by("memory_id"))


def find_by_memory_id(
    rows: QuerySet[ConversationRow], beginning: str, exact_key: UUID, limit: int
) -> list[ConversationRow]:
    """At most `limit` rows whose memory_id begins with `beginning`, by memory_id.

    `exact_key` is the key of the memory_id `beginning` itself; that row is never left out.
    """
    exact = list(rows.filter(pk=exact_key))
    longer = with_prefix(rows, beginning).exclude(pk=exact_key)[:limit]
    # A collation may treat two letters as equal, but people search for exactly what they typed.
    matches = [row for row in (*exact, *longer) if row.memory_id.startswith(beginning)]
    return sorted(matches, key=lambda row: row.memory_id)[:limit]


# --- Parts of a list ---------------------------------------------------------------------


def older_rows(rows: QuerySet[Any], field: str, at: datetime, pk: object) -> QuerySet[Any]:
    """The rows after one with these values, when `rows` are ordered by `-field`, then `-pk`.

    The first condition is the one that an index serves; the second decides between equal times.
    """
    return rows.filter(**{f"{field}__lte": at}).filter(Q(**{f"{field}__lt": at}) | Q(pk__lt=pk))


def newer_rows(rows: QuerySet[Any], field: str, at: datetime, pk: object) -> QuerySet[Any]:
    """The rows before one with these values, in the same order as in `older_rows`."""
    return rows.filter(**{f"{field}__gte": at}).filter(Q(**{f"{field}__gt": at}) | Q(pk__gt=pk))


def with_prefix(rows: QuerySet[ConversationRow], prefix: str) -> QuerySet[ConversationRow]:
    """Prefix search by memory_id, through an index; the rows come in no order."""
    matches = rows.order_by().filter(memory_id__startswith=prefix)
    if vendor_for(rows.db).like_ignores_case:
        # Such a LIKE uses no index. A range does, and it compares by code points.
        return matches.filter(memory_id__gte=prefix, memory_id__lt=f"{prefix}\U0010ffff")
    return matches


# --- Figures of each row -----------------------------------------------------------------


def with_length(rows: QuerySet[ConversationRow]) -> QuerySet[ConversationRow]:
    """Each row with its `length`: its highest position, read from the end of the primary key."""
    return rows.annotate(length=_newest_message("position"))


def with_message_count(rows: QuerySet[ConversationRow]) -> QuerySet[ConversationRow]:
    """Each row with its `length` and its `message_count`.

    The count is smaller than the length where an interrupted deletion removed the oldest messages.
    """
    oldest = MessageRow.objects.filter(conversation_id=OuterRef("pk")).order_by("position")
    first = Subquery(oldest.values("position")[:1])
    return with_length(rows).annotate(message_count=Coalesce(F("length") - first + 1, 0))


def with_summary(rows: QuerySet[ConversationRow], *, opening: bool) -> QuerySet[ConversationRow]:
    """Each row with its `length`, and with `last_role` and `changed_at` of its last message.

    With `opening`, also the beginning of the JSON of the first message that is not pinned.
    """
    figures = {"last_role": _newest_message("role"), "changed_at": _newest_message("created_at")}
    if opening:
        figures["opening"] = _opening()
    return with_length(rows).annotate(**figures)


def _newest_message(column: str) -> Subquery:
    newest = MessageRow.objects.filter(conversation_id=OuterRef("pk")).order_by("-position")
    return Subquery(newest.values(column)[:1])


def _opening() -> Subquery:
    # A pinned first message describes the assistant; it is the same in many conversations.
    pinned = When(position=1, role__in=PINNED_ROLES, then=Value(3))
    first_two = MessageRow.objects.filter(conversation_id=OuterRef("pk"), position__lte=2)
    order = Case(pinned, default=F("position"), output_field=BigIntegerField())
    beginning = first_two.order_by(order).annotate(beginning=Substr("body", 1, OPENING))
    return Subquery(beginning.values("beginning")[:1])
