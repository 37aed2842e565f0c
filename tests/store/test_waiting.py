"""How long others wait: for a request of many messages, and for one that waited itself."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from convstore.archive.word_switch import learn
from convstore.conf import database_timeout
from convstore.exchange import sqlite
from convstore.exchange.statements import ConversationRef
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part
from convstore.store import ConversationStore, conversation_key


def say(text: str) -> Message:
    return Message("user", (Part("text", text),))


def test_many_messages_take_hardly_more_statements_than_two(database):
    store = ConversationStore(database, statements_for)

    def statements(count: int) -> int:
        learn(database, False)  # or an exchange would ask for it first, depending on the time
        with CaptureQueriesContext(connections[database]) as queries:
            store.exchange("many", [say(str(n)) for n in range(count)], 10)
        return len(queries)

    store.append("many", [say("first")])
    batches = 500 // sqlite.ROWS_AT_ONCE if connections[database].vendor == "sqlite" else 1
    assert statements(500) == statements(2) - 1 + batches
    assert [message.position for message in store.window("many", 1000)] == list(range(1, 504))


def test_a_request_that_waited_has_less_time_left():
    now = datetime.now(UTC)
    fresh = ConversationRef(conversation_key("a"), "a", now)
    limit = database_timeout() * 1000

    assert 0 < fresh.milliseconds_left() <= limit
    assert replace(fresh, now=now + timedelta(hours=1)).milliseconds_left() == limit
    assert replace(fresh, now=now - timedelta(seconds=2)).milliseconds_left() <= limit - 2000
    assert replace(fresh, now=now - timedelta(hours=1)).milliseconds_left() == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_what_was_waited_in_the_queue_is_taken_off_the_wait_for_the_file(database):
    connection = connections[database]
    connection.ensure_connection()

    def limit() -> int:
        (milliseconds,) = connection.connection.execute("PRAGMA busy_timeout").fetchone()
        return int(milliseconds)

    whole, waited = limit(), 0.5
    before = threading.Event()

    def write() -> None:
        with sqlite.turn_to_write(connection):
            before.set()
            time.sleep(waited)

    with sqlite.turn_to_write(connection):
        assert limit() == whole
    other = threading.Thread(target=write)
    other.start()
    before.wait()
    with sqlite.turn_to_write(connection):
        assert 0 < limit() <= whole - waited * 1000 / 2
    assert limit() == whole
    other.join()
