"""What the first page says of a database: exact where that is cheap, else marked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.models import Conversation
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key
from inspection.databases import Database
from inspection.overview import COUNTED, COUNTED_NEW, DAYS, LAST_ACTIVE, TABLES, Number, glance

HELLO = Message("user", [Part("text", "Hello!")])


def make(database: str, days_ago: list[int]) -> None:
    """Conversations that were begun so many days ago, past the store, each with a message."""
    rows = [conversation(str(n), ago) for n, ago in enumerate(days_ago)]
    Conversation.objects.using(database).bulk_create(rows, batch_size=1000)
    Row.objects.using(database).bulk_create(map(first_message, rows), batch_size=1000)


def conversation(memory_id: str, days_ago: int) -> Conversation:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    return Conversation(
        pk=conversation_key(memory_id), memory_id=memory_id, created_at=at, active_at=at
    )


def first_message(of: Conversation) -> Row:
    keys: dict[str, Any] = {"request_key": uuid4(), "fingerprint": uuid4()}
    return Row(
        conversation=of, position=1, role="user", body="{}", created_at=of.created_at, **keys
    )


def analyze(database: str) -> None:
    statements = {
        "postgresql": ["ANALYZE convstore_conversation", "ANALYZE convstore_message"],
        "mysql": ["ANALYZE TABLE convstore_conversation", "ANALYZE TABLE convstore_message"],
    }
    with connections[database].cursor() as cursor:
        for statement in statements.get(connections[database].vendor, []):
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()


def test_what_is_little_is_counted(database):
    store = ConversationStore(database)
    for n in range(LAST_ACTIVE + 2):
        store.append(str(n), [HELLO] * 3)
    found = glance(Database(database, ()))
    assert found.fault == ""
    assert found.conversations == Number(LAST_ACTIVE + 2)
    assert found.messages == Number(3 * (LAST_ACTIVE + 2))
    assert found.new == Number(LAST_ACTIVE + 2)
    assert len(found.days) == DAYS
    assert [day.count for day in found.days] == [0] * (DAYS - 1) + [LAST_ACTIVE + 2]
    assert len(found.last_active) == LAST_ACTIVE


def test_nothing_is_counted_as_nothing(database):
    found = glance(Database(database, ()))
    assert (found.conversations, found.messages, found.new) == (Number(0),) * 3
    assert {(day.count, day.height) for day in found.days} == {(0, 0)}


def test_new_conversations_are_counted_by_the_day_they_began(database):
    make(database, [0, 0, 0, 1, DAYS - 1, DAYS, 400])
    found = glance(Database(database, ()))
    counts = {n: day.count for n, day in enumerate(reversed(found.days)) if day.count}
    assert counts == {0: 3, 1: 1, DAYS - 1: 1}
    assert found.new == Number(5)
    assert (found.days[-1].height, found.days[-2].height) == (60, 20)
    assert found.days[-1].date == datetime.now(UTC).date()


def test_what_is_much_is_the_databases_own_estimate_and_marked(database):
    count = COUNTED + COUNTED // 10
    make(database, [n % 60 for n in range(count)])
    analyze(database)
    with CaptureQueriesContext(connections[database]) as asked:
        found = glance(Database(database, ()))
    assert len(asked) <= 6
    for number in (found.conversations, found.messages):
        assert number.how == "about"
        assert number.value == pytest.approx(count, rel=0.2)
    assert found.new.how == "about"
    assert found.new.value == pytest.approx(count / 2, rel=0.25)
    assert found.new.value > COUNTED_NEW
    assert all(day.count for day in found.days)


def test_where_there_is_no_estimate_there_is_at_least_a_number(new_database):
    """PostgreSQL has none of a table that nobody has analyzed."""
    database = database_alias(new_database("postgresql"))
    call_command("migrate", "convstore", database=database, verbosity=0)
    with connections[database].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    make(database, [50] * (COUNTED + 1))
    found = glance(Database(database, ()))
    assert found.conversations == found.messages == Number(COUNTED, "more than")
    assert found.new == Number(0)


def test_a_database_without_tables_says_what_to_do(new_database, database_kind):
    found = glance(Database(database_alias(new_database(database_kind)), ()))
    assert "run 'convstore migrate_memories'" in found.fault
    assert (found.conversations, found.days, found.last_active) == (Number(0), (), ())


def test_a_database_that_is_down_says_so():
    found = glance(Database(database_alias("postgresql://u:secret@127.0.0.1:1/d"), ()))
    assert found.fault == "The database closed the connection; the log has the reason."
