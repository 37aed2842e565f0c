"""The figures of one database, without a full scan of a table, whatever its size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import MessageRow
from convstore.database.vendors import vendor_for

# Up to this many rows are counted; beyond, the database's own estimate is used.
COUNTED = 10_000
# New conversations are counted by day, over so many days.
DAYS = 30
# Up to this many new conversations are counted; beyond, a sample of all conversations is used.
COUNTED_NEW, SAMPLE = 2_000, 2_000
LAST_ACTIVE = 5

CONVERSATION_TABLE, MESSAGE_TABLE = ConversationRow._meta.db_table, MessageRow._meta.db_table


@dataclass(frozen=True, slots=True)
class Count:
    """`precision` is "" for an exact count, "about" for an estimate, else "more than"."""

    value: int
    precision: str = ""

    def __str__(self) -> str:
        return f"{self.precision} {self.value:,}".lstrip()


@dataclass(frozen=True, slots=True)
class Overview:
    """`new_by_day` has each of the last DAYS days, oldest first; `new` is their sum."""

    conversations: Count
    messages: Count
    new: Count
    new_by_day: Mapping[date, int]
    last_active: Sequence[ConversationRow]


def read_overview(using: str) -> Overview:
    rows = conversations(using)
    counted = _count_rows(rows), _count_rows(MessageRow.objects.using(using).all())
    estimates = row_estimates(using) if max(counted) > COUNTED else {}
    total = _total(counted[0], estimates.get(CONVERSATION_TABLE, 0))
    new, new_by_day = _new_conversations(rows, total.value)
    return Overview(
        conversations=total,
        messages=_total(counted[1], estimates.get(MESSAGE_TABLE, 0)),
        new=new,
        new_by_day=new_by_day,
        last_active=list(rows.order_by("-active_at", "-id")[:LAST_ACTIVE]),
    )


def row_estimates(using: str) -> dict[str, int]:
    """The database's own estimate of the number of rows, by table; 0 where it has none."""
    query = vendor_for(using).row_estimates.format(CONVERSATION_TABLE, MESSAGE_TABLE)
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return {table: int(rows or 0) for table, rows in cursor.fetchall()}


def _count_rows(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: COUNTED + 1].count()


def _total(counted: int, estimate: int) -> Count:
    if counted <= COUNTED:
        return Count(counted)
    return Count(estimate, "about") if estimate > COUNTED else Count(COUNTED, "more than")


# --- New conversations by day ------------------------------------------------------------


def _new_conversations(
    rows: QuerySet[ConversationRow], total: int
) -> tuple[Count, Mapping[date, int]]:
    """How many conversations began in the last DAYS days, and how many on each of them."""
    first = datetime.now(UTC).date() - timedelta(days=DAYS - 1)
    since = datetime.combine(first, time.min, UTC)
    newest = rows.filter(created_at__gte=since).order_by("-created_at", "-id")
    times = newest.values_list("created_at", flat=True)
    if not times[COUNTED_NEW : COUNTED_NEW + 1]:
        counts = Counter(at.date() for at in times)
        return Count(counts.total()), _each_day(first, counts)
    # Keys are hashes, so the lowest ones are a random sample of all conversations.
    sample = list(rows.order_by("pk").values_list("created_at", flat=True)[:SAMPLE])
    share = max(total / len(sample), 1)
    sampled = Counter(at.date() for at in sample if at >= since)
    counts = Counter({day: round(count * share) for day, count in sampled.items()})
    return Count(max(counts.total(), COUNTED_NEW), "about"), _each_day(first, counts)


def _each_day(first: date, counts: Mapping[date, int]) -> Mapping[date, int]:
    days = (first + timedelta(days=n) for n in range(DAYS))
    return {day: counts.get(day, 0) for day in days}
