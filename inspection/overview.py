"""What there is in each database, at a glance: figures that no table is scanned for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import Error, connections
from django.db.models import QuerySet

from convstore.database import faults
from convstore.models import Conversation, Message
from inspection.databases import Database

# Up to here rows are counted; above, the database is asked for its own estimate.
COUNTED = 10_000
DAYS = 30
# New conversations that are counted by day, and how many stand for all where there are more.
COUNTED_NEW, SAMPLE = 2_000, 2_000
LAST_ACTIVE = 5

TABLES = ("convstore_conversation", "convstore_message")
# Each vendor's own estimate of how many rows a table has, by its name in lower case.
ESTIMATES: Mapping[str, str] = {
    "postgresql": "SELECT relname, reltuples FROM pg_class WHERE oid IN"
    " (to_regclass('convstore_conversation'), to_regclass('convstore_message'))",
    "mysql": "SELECT table_name, table_rows FROM information_schema.tables"
    " WHERE table_schema = DATABASE()"
    " AND table_name IN ('convstore_conversation', 'convstore_message')",
    # The highest row number: that of all rows which there ever were, but for the last deleted.
    "sqlite": "SELECT 'convstore_conversation', MAX(rowid) FROM convstore_conversation"
    " UNION ALL SELECT 'convstore_message', MAX(rowid) FROM convstore_message",
    "microsoft": "SELECT OBJECT_NAME(object_id), SUM(rows) FROM sys.partitions WHERE index_id < 2"
    " AND object_id IN (OBJECT_ID('convstore_conversation'), OBJECT_ID('convstore_message'))"
    " GROUP BY object_id",
    "oracle": "SELECT LOWER(table_name), num_rows FROM user_tables"
    " WHERE LOWER(table_name) IN ('convstore_conversation', 'convstore_message')",
}


@dataclass(frozen=True, slots=True)
class Number:
    """A count: `how` is "", "about" for an estimate, "more than" where there is not even one."""

    value: int
    how: str = ""

    def __str__(self) -> str:
        return f"{self.how} {self.value:,}".lstrip()


CHART_HEIGHT = 60


@dataclass(frozen=True, slots=True)
class Day:
    """A bar of the chart, which is CHART_HEIGHT high; its place is counted from the left."""

    date: date
    count: int
    height: int
    place: int

    @property
    def top(self) -> int:
        return CHART_HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Glance:
    """One database; all but `fault`, a sentence, is empty where it cannot be asked."""

    database: Database
    fault: str = ""
    conversations: Number = Number(0)
    messages: Number = Number(0)
    days: Sequence[Day] = ()
    new: Number = Number(0)
    last_active: Sequence[Conversation] = ()


def glance(database: Database) -> Glance:
    """What is in one database, or why it cannot be said."""
    try:
        return _asked(database)
    except Error as error:
        return Glance(database, fault=faults.describe_error(database.alias, error))


def _asked(database: Database) -> Glance:
    conversations = Conversation.objects.using(database.alias)
    messages = Message.objects.using(database.alias)
    counts = [_counted(conversations.all()), _counted(messages.all())]
    if max(counts) > COUNTED:
        estimates = _estimates(database.alias)
        numbers = [_number(*each, estimates) for each in zip(TABLES, counts, strict=True)]
    else:
        numbers = [Number(count) for count in counts]
    days, new = _new_by_day(conversations.all(), numbers[0])
    return Glance(
        database,
        conversations=numbers[0],
        messages=numbers[1],
        days=days,
        new=new,
        last_active=list(conversations.order_by("-active_at", "-id")[:LAST_ACTIVE]),
    )


def _counted(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: COUNTED + 1].count()


def _number(table: str, counted: int, estimates: Mapping[str, int]) -> Number:
    if counted <= COUNTED:
        return Number(counted)
    estimate = estimates.get(table, 0)
    return Number(estimate, "about") if estimate > COUNTED else Number(COUNTED, "more than")


def _estimates(using: str) -> dict[str, int]:
    with connections[using].cursor() as cursor:
        cursor.execute(ESTIMATES[connections[using].vendor])
        return {name: int(rows or 0) for name, rows in cursor.fetchall()}


# --- New conversations a day -------------------------------------------------------------


def _new_by_day(rows: QuerySet[Conversation], all_of_them: Number) -> tuple[list[Day], Number]:
    """The bars of the last DAYS days, and how many conversations they stand for."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    since = datetime.combine(first, time.min, UTC)
    newest = rows.filter(created_at__gte=since).order_by("-created_at", "-id")
    times = newest.values_list("created_at", flat=True)
    if not times[COUNTED_NEW : COUNTED_NEW + 1]:
        counts = Counter(at.date() for at in times)
        return _bars(first, counts), Number(counts.total())
    # Keys are hashes, so the lowest of them are a fair sample of all conversations.
    sample = list(rows.order_by("pk").values_list("created_at", flat=True)[:SAMPLE])
    share = max(all_of_them.value / len(sample), 1)
    sampled = Counter(at.date() for at in sample if at >= since)
    counts = Counter({day: round(count * share) for day, count in sampled.items()})
    return _bars(first, counts), Number(max(counts.total(), COUNTED_NEW), "about")


def _bars(first: date, counts: Mapping[date, int]) -> list[Day]:
    highest = max(counts.values(), default=0) or 1
    dates = [first + timedelta(days=n) for n in range(DAYS)]
    return [
        Day(day, count := counts.get(day, 0), -(-CHART_HEIGHT * count // highest), n)
        for n, day in enumerate(dates)
    ]
