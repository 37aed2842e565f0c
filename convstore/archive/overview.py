"""How many conversations and messages a database has, without a full table scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import Error, connections
from django.db.models import BigIntegerField, F, QuerySet, Subquery, Value

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
    """`new_by_day` holds every one of the last DAYS days, oldest first. `new` is the sum.

    `bytes` is 0 if the database does not say how many it takes.
    """

    conversations: Count
    messages: Count
    new: Count
    new_by_day: Mapping[date, int]
    last_active: Sequence[ConversationRow]
    bytes: int


class Bounded(Subquery):
    """The sum of `term` over the rows of a slice; the database reads no others."""

    template = "(SELECT SUM(term) FROM (%(subquery)s) bounded)"
    output_field = BigIntegerField()


def read_overview(using: str) -> Overview:
    """The overview, in three statements: the page waits for each of them."""
    since = datetime.combine(datetime.now(UTC).date() - timedelta(days=DAYS - 1), time.min, UTC)
    last_active, counted = count_rows(using, since)
    reported = reported_figures(using)
    total = _total(counted["rows"], reported[CONVERSATION_TABLE])
    new, new_by_day = _count_new(using, since, counted["new_rows"], total.value)
    return Overview(
        conversations=total,
        messages=_total(counted["message_rows"], reported[MESSAGE_TABLE], counted["erased_rows"]),
        new=new,
        new_by_day=new_by_day,
        last_active=last_active,
        bytes=reported["bytes"],
    )


def reported_figures(using: str) -> Counter[str]:
    """What the database says of itself: its `bytes`, and an estimate of the rows of each table.

    What it does not say is 0, and so are the bytes where its user may not ask for them.
    """
    vendor = vendor_for(using)
    estimates = vendor.row_estimates.format(CONVERSATION_TABLE, MESSAGE_TABLE)
    try:
        return _named_numbers(using, f"{estimates} UNION ALL {vendor.size}")
    except Error:
        return _named_numbers(using, estimates)


def _named_numbers(using: str, query: str) -> Counter[str]:
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return Counter({name: int(number or 0) for name, number in cursor.fetchall()})


def count_rows(using: str, since: datetime) -> tuple[list[ConversationRow], Counter[str]]:
    """The last active conversations, and the numbers of rows up to the limits: one statement."""
    rows, messages = conversations(using), MessageRow.objects.using(using)
    sums = {
        "rows": Bounded(rows.values(term=Value(1))[: COUNT_LIMIT + 1]),
        "message_rows": Bounded(messages.values(term=Value(1))[: COUNT_LIMIT + 1]),
        # Messages are counted in an index, which does not know which of them are erased.
        "erased_rows": Bounded(rows.values(term=F("erased"))[: COUNT_LIMIT + 1]),
        "new_rows": Bounded(_new(using, since).values(term=Value(1))[: NEW_COUNT_LIMIT + 1]),
    }
    last_active = list(rows.annotate(**sums).order_by("-active_at", "-id")[:LAST_ACTIVE])
    # Each row has the same sums. Where there is no row, each sum is 0.
    counted = {name: int(getattr(row, name) or 0) for row in last_active[:1] for name in sums}
    return last_active, Counter(counted)


def _total(counted: int, estimate: int, erased: int = 0) -> Count:
    if counted <= COUNT_LIMIT:
        return Count(counted - erased)
    return Count(estimate, "about") if estimate > COUNT_LIMIT else Count(COUNT_LIMIT, "more than")


# --- New conversations by day ------------------------------------------------------------


def _new(using: str, since: datetime) -> QuerySet[ConversationRow]:
    # The order makes the database read an index from its end.
    return conversations(using).filter(created_at__gte=since).order_by("-created_at", "-id")


def _count_new(
    using: str, since: datetime, counted: int, total: int
) -> tuple[Count, Mapping[date, int]]:
    """How many conversations were created in the last DAYS days, in total and on each day."""
    if counted <= NEW_COUNT_LIMIT:
        times = _new(using, since).values_list("created_at", flat=True)[:NEW_COUNT_LIMIT]
        counts = Counter(at.date() for at in times)
        return Count(counts.total()), _fill_days(since.date(), counts)
    # Keys are hashes, so the conversations with the lowest keys are a random sample.
    by_key = conversations(using).order_by("pk").values_list("created_at", flat=True)
    sample = list(by_key[:SAMPLE_SIZE])
    share = max(total / len(sample), 1)
    sampled = Counter(at.date() for at in sample if at >= since)
    counts = Counter({day: round(count * share) for day, count in sampled.items()})
    number = Count(max(counts.total(), NEW_COUNT_LIMIT), "about")
    return number, _fill_days(since.date(), counts)


def _fill_days(first: date, counts: Mapping[date, int]) -> Mapping[date, int]:
    days = (first + timedelta(days=n) for n in range(DAYS))
    return {day: counts.get(day, 0) for day in days}
