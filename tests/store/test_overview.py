"""The numbers on the first page: exact if that is cheap, otherwise an estimate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from convstore.archive import overview
from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.archive.overview import (
    CONVERSATION_TABLE,
    COUNT_LIMIT,
    DAYS,
    LAST_ACTIVE,
    MESSAGE_TABLE,
    NEW_COUNT_LIMIT,
    Count,
    Overview,
)
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.store import ConversationStore, conversation_key
from inspection.databases import Database
from inspection.overview import CHART_HEIGHT, Panel, panel_of
from tests.store.own_database import execute

HELLO = Message("user", [Part("text", "Hello!")])


def make(database: str, days_ago: list[int]) -> None:
    """Insert conversations with one message each, created so many days ago."""
    rows = [conversation(str(n), ago) for n, ago in enumerate(days_ago)]
    ConversationRow.objects.using(database).bulk_create(rows, batch_size=1000)
    MessageRow.objects.using(database).bulk_create(map(first_message, rows), batch_size=1000)


def conversation(memory_id: str, days_ago: int) -> ConversationRow:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    return ConversationRow(
        pk=conversation_key(memory_id), memory_id=memory_id, created_at=at, active_at=at
    )


def first_message(of: ConversationRow) -> MessageRow:
    keys: dict[str, Any] = {"request_key": uuid4(), "fingerprint": uuid4()}
    return MessageRow(
        conversation=of, position=1, role="user", body="{}", created_at=of.created_at, **keys
    )


def analyze(database: str) -> None:
    statements = {
        "postgresql": ["ANALYZE convstore_conversation", "ANALYZE convstore_message"],
        "mysql": [
            # The default looks at 20 pages, whose estimate may be wrong by more than a quarter.
            "ALTER TABLE convstore_conversation STATS_SAMPLE_PAGES = 1000",
            "ALTER TABLE convstore_message STATS_SAMPLE_PAGES = 1000",
            "ANALYZE TABLE convstore_conversation",
            "ANALYZE TABLE convstore_message",
        ],
    }
    with connections[database].cursor() as cursor:
        for statement in statements.get(connections[database].vendor, []):
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()


def panel(database: str) -> Panel:
    return panel_of(Database(database, ()))


def figures_of(database: str) -> Overview:
    found = panel(database)
    assert found.error == ""
    assert found.figures
    return found.figures


def test_a_small_database_is_counted_exactly(database):
    store = ConversationStore(database)
    for n in range(LAST_ACTIVE + 2):
        store.append(str(n), [HELLO] * 3)
    found = figures_of(database)
    assert found.conversations == Count(LAST_ACTIVE + 2)
    assert found.messages == Count(3 * (LAST_ACTIVE + 2))
    assert found.new == Count(LAST_ACTIVE + 2)
    assert len(found.new_by_day) == DAYS
    assert list(found.new_by_day.values()) == [0] * (DAYS - 1) + [LAST_ACTIVE + 2]
    assert len(found.last_active) == LAST_ACTIVE
    assert found.bytes > 10_000


def test_an_empty_database_has_zero_of_everything(database):
    found = figures_of(database)
    assert (found.conversations, found.messages, found.new) == (Count(0),) * 3
    assert {(bar.count, bar.height) for bar in panel(database).charts[0].bars} == {(0, 0)}


def test_new_conversations_are_counted_by_the_day_of_their_creation(database):
    make(database, [0, 0, 0, 1, DAYS - 1, DAYS, 400])
    found = figures_of(database)
    counts = {n: count for n, count in enumerate(reversed([*found.new_by_day.values()])) if count}
    assert counts == {0: 3, 1: 1, DAYS - 1: 1}
    assert found.new == Count(5)
    bars = panel(database).charts[0].bars
    assert (bars[-1].height, bars[-2].height) == (CHART_HEIGHT, CHART_HEIGHT // 3)
    assert (bars[-1].y, bars[-2].y) == (0, CHART_HEIGHT - CHART_HEIGHT // 3)
    assert bars[-1].date == datetime.now(UTC).date()


@pytest.mark.slow
def test_a_large_database_shows_the_databases_own_estimate_marked_about(database):
    count = COUNT_LIMIT + COUNT_LIMIT // 10
    make(database, [n % 60 for n in range(count)])
    analyze(database)
    with CaptureQueriesContext(connections[database]) as asked:
        found = figures_of(database)
    assert len(asked) == 3
    for number in (found.conversations, found.messages):
        assert number.precision == "about"
        assert number.value == pytest.approx(count, rel=0.2)
    assert found.new.precision == "about"
    assert found.new.value == pytest.approx(count / 2, rel=0.25)
    assert found.new.value > NEW_COUNT_LIMIT
    assert all(found.new_by_day.values())


@pytest.mark.needs("postgresql")
def test_without_an_estimate_the_count_is_marked_more_than(new_database):
    """PostgreSQL has no estimate for a table before the first ANALYZE."""
    database = database_alias(new_database("postgresql"))
    call_command("migrate", "convstore", database=database, verbosity=0)
    with connections[database].cursor() as cursor:
        for table in (CONVERSATION_TABLE, MESSAGE_TABLE):
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    make(database, [50] * (COUNT_LIMIT + 1))
    found = figures_of(database)
    assert found.conversations == found.messages == Count(COUNT_LIMIT, "more than")
    assert found.new == Count(0)


@pytest.mark.needs("postgresql")
def test_a_user_who_may_not_ask_for_the_size_sees_all_else(new_database, monkeypatch):
    monkeypatch.setattr(overview, "COUNT_LIMIT", 2)
    database = database_alias(new_database("postgresql"))
    call_command("migrate", "convstore", database=database, verbosity=0)
    make(database, [1] * 5)
    analyze(database)
    assert figures_of(database).bytes > 10_000
    for statement in (
        "REVOKE EXECUTE ON FUNCTION pg_database_size(name) FROM public",
        "CREATE ROLE reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        "SET ROLE reader",
    ):
        execute(database, statement)
    found = figures_of(database)
    assert found.bytes == 0
    assert found.conversations == found.messages == Count(5, "about")


def test_the_panel_of_a_database_without_tables_says_what_to_do(new_database, database_kind):
    found = panel(database_alias(new_database(database_kind)))
    assert "run 'convstore migrate_memories'" in found.error
    assert (found.figures, found.charts) == (None, ())


def test_the_panel_of_a_database_that_is_down_says_so():
    found = panel(database_alias("postgresql://u:secret@127.0.0.1:1/d"))
    assert found.error == "The database closed the connection; the log has the reason."
