"""How many conversations and messages each day had, on each database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

from convstore.archive import days
from convstore.archive.days import count_days
from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from convstore.models import Conversation, Kind
from convstore.store import ConversationStore, conversation_key

FIRST = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def talk(database: str, memory_id: str, *times: datetime) -> None:
    """A conversation with a message at each of these times."""
    messages = [Message("user", [Part("text", "Hello!")])] * len(times)
    ConversationStore(database).append(memory_id, messages)
    key = conversation_key(memory_id)
    rows = MessageRow.objects.using(database).filter(conversation_id=key)
    for position, at in enumerate(times, 1):
        rows.filter(position=position).update(created_at=at)
    last = times[-1].replace(minute=0, second=0, microsecond=0)
    conversation = Conversation.objects.using(database).filter(pk=key)
    conversation.update(created_at=times[0], active_at=last)


def test_each_day_is_counted_from_midnight_to_midnight(database, monkeypatch):
    monkeypatch.setattr(days, "AT_ONCE", 2)
    day = timedelta(days=1)
    talk(database, "before", MIDNIGHT - MOMENT)
    talk(database, "over midnight", MIDNIGHT - day, MIDNIGHT, MIDNIGHT + day - MOMENT)
    talk(database, "of two days", MIDNIGHT + timedelta(hours=2), MIDNIGHT + day, MIDNIGHT + day)
    talk(database, "after", MIDNIGHT + 2 * day)
    begun, messages = count_days(database, FIRST, FIRST + 2 * day)
    assert begun == Counter({FIRST: 1})
    assert messages == Counter({FIRST: 3, FIRST + day: 2})


def test_erased_messages_are_not_counted(database):
    talk(database, "a", MIDNIGHT, MIDNIGHT)
    MessageRow.objects.using(database).filter(position=1).update(kind=Kind.ERASED)
    assert count_days(database, FIRST, FIRST + timedelta(days=1))[1] == Counter({FIRST: 1})
