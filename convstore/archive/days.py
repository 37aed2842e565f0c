"""How many conversations began, and how many messages came, on each of some days (UTC).

There is no index of the times of messages. So the conversations that were active since are read in
the order of their keys, some at a time, and their messages are counted: run it once a day.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate

from convstore.archive.conversations import conversations
from convstore.archive.history import MessageRow
from convstore.models import NOT_ERASED

# How many conversations one query counts the messages of.
AT_ONCE = 100
# `active_at` is up to so much earlier than the last message.
INACCURACY = timedelta(hours=1)


def count_days(using: str, first: date, end: date) -> tuple[Counter[date], Counter[date]]:
    """Conversations and messages of each day from `first` until the day before `end`."""
    since, until = (datetime.combine(day, time.min, UTC) for day in (first, end))
    begun = conversations(using).filter(created_at__gte=since, created_at__lt=until)
    messages: Counter[date] = Counter()
    active = conversations(using).filter(active_at__gte=since - INACCURACY).order_by("pk")
    keys: list[Any] = list(active.values_list("pk", flat=True)[:AT_ONCE])
    while keys:
        rows = MessageRow.objects.using(using).filter(NOT_ERASED, conversation_id__in=keys)
        messages += _by_day(rows.filter(created_at__gte=since, created_at__lt=until))
        following = active.filter(pk__gt=keys[-1])
        keys = list(following.values_list("pk", flat=True)[:AT_ONCE])
    return _by_day(begun), messages


def _by_day(rows: QuerySet[Any]) -> Counter[date]:
    days = rows.order_by().annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day")
    return Counter(
        {each["day"]: each["number"] for each in days.annotate(number=Count("created_at"))}
    )
