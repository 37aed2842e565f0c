"""How many conversations and messages a database has, without a full table scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connections
from django.db.models import QuerySet, Sum

from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import MessageRow
from convstore.database.vendors import vendor_for

# Up to this many rows are counted. Above, the database's own estimate is used.
COUNT_LIMIT = 10_000
# For how many days new conversations are counted, day by day.
DAYS = 30
# Up to this many new conversations are counted. Above, they are estimated from a sample.
NEW_COUNT_LIMIT, SAMPLE_SIZE = 2_000, 2_000
LAST_ACTIVE = 5

CONVERSATION_TABLE, MESSAGE_TABLE = ConversationRow._meta.db_table, MessageRow._meta.db_table


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows. `precision` is "" (exact), "about" (an estimate) or "more than"."""

    value: int
    precision: str = ""

    def __str__(self) -> str:
        return f"{self.precision} {self.value:,}".lstrip()


@dataclass(frozen=True, slots=True)
class Overview:
    """`new_by_day` holds every one of the last DAYS days, oldest first. `new` is the sum."""

    conversations: Count
    messages: Count
    new: Count
    new_by_day: Mapping[date, int]
    last_active: Sequence[ConversationRow]


def read_overview(using: str) -> Overview:
    rows = conversations(using)
    counted = _count_rows(rows), _count_rows(MessageRow.objects.using(using).all())
    estimates = row_estimates(using) if max(counted) > COUNT_LIMIT else {}
    total = _total(counted[0], estimates.get(CONVERSATION_TABLE, 0))
    messages = _total(counted[1], estimates.get(MESSAGE_TABLE, 0))
    if not estimates:
        # Conversations know how many of their rows are erased. The rows themselves are counted in
        # an index, which does not know it.
        erased = rows.aggregate(total=Sum("erased", default=0))["total"]
        messages = Count(counted[1] - erased)
    new, new_by_day = _count_new_conversations(rows, total.value)
    return Overview(
        conversations=total,
        messages=messages,
        new=new,
        new_by_day=new_by_day,
        last_active=list(rows.order_by("-active_at", "-id")[:LAST_ACTIVE]),
    )


def row_estimates(using: str) -> dict[str, int]:
    """The database's own estimate of the number of rows of each table; 0 if it has none."""
    query = vendor_for(using).row_estimates.format(CONVERSATION_TABLE, MESSAGE_TABLE)
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return {table: int(rows or 0) for table, rows in cursor.fetchall()}


def size_in_bytes(using: str) -> int:
    """How many bytes the database takes, as it says itself; 0 if it does not say."""
    with connections[using].cursor() as cursor:
        cursor.execute(vendor_for(using).size)
        (found,) = cursor.fetchone()
    return int(found or 0)


def _count_rows(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: COUNT_LIMIT + 1].count()


def _total(counted: int, estimate: int) -> Count:
    if counted <= COUNT_LIMIT:
        return Count(counted)
    return Count(estimate, "about") if estimate > COUNT_LIMIT else Count(COUNT_LIMIT, "more than")


# --- New conversations by day ------------------------------------------------------------


def _count_new_conversations(
    rows: QuerySet[ConversationRow], total: int
) -> tuple[Count, Mapping[date, int]]:
    """How many conversations were created in the last DAYS days, in total and on each day."""
    first = datetime.now(UTC).date() - timedelta(days=DAYS - 1)
    since = datetime.combine(first, time.min, UTC)
    newest = rows.filter(created_at__gte=since).order_by("-created_at", "-id")
    times = newest.values_list("created_at", flat=True)
    if not times[NEW_COUNT_LIMIT : NEW_COUNT_LIMIT + 1]:
        counts = Counter(at.date() for at in times)
        return Count(counts.total()), _fill_days(first, counts)
    # Keys are hashes, so the conversations with the lowest keys are a random sample.
    sample = list(rows.order_by("pk").values_list("created_at", flat=True)[:SAMPLE_SIZE])
    share = max(total / len(sample), 1)
    sampled = Counter(at.date() for at in sample if at >= since)
    counts = Counter({day: round(count * share) for day, count in sampled.items()})
    return Count(max(counts.total(), NEW_COUNT_LIMIT), "about"), _fill_days(first, counts)


def _fill_days(first: date, counts: Mapping[date, int]) -> Mapping[date, int]:
    days = (first + timedelta(days=n) for n in range(DAYS))
    return {day: counts.get(day, 0) for day in days}
