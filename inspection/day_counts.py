"""The counts of days that are over: each is made once, and stored for the first page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from convstore.archive.days import count_days
from convstore.archive.overview import DAYS
from inspection.databases import Database
from inspection.models import DayCount


def closed_days() -> list[date]:
    """The days before today that the first page shows, oldest first."""
    today = datetime.now(UTC).date()
    return [today - timedelta(days=n) for n in range(DAYS - 1, 0, -1)]


def counts_of(database: Database) -> Mapping[date, DayCount]:
    found = DayCount.objects.filter(database=database.alias, day__in=closed_days())
    return {each.day: each for each in found}


def count_missing(database: Database) -> int:
    """Count the days that have no count yet; how many there were."""
    known = counts_of(database)
    missing = [day for day in closed_days() if day not in known]
    if missing:
        end = missing[-1] + timedelta(days=1)
        conversations, messages = count_days(database.alias, missing[0], end)
        DayCount.objects.bulk_create(
            (
                DayCount(
                    database=database.alias,
                    day=day,
                    conversations=conversations[day],
                    messages=messages[day],
                )
                for day in missing
            ),
        )
    return len(missing)
