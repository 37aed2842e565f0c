"""A conversation is erased in small transactions, also while others write to it."""

from __future__ import annotations

import threading
from typing import Any

from django.db import connections
from django.test.utils import CaptureQueriesContext

from convstore.archive import erasure
from convstore.archive.conversations import conversation_with_key, conversations
from convstore.archive.erasure import BATCH, ErasureResult, erase
from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from convstore.store import ConversationStore, conversation_key

KEY = conversation_key("a")


def add_messages(database: str, count: int, memory_id: str = "a") -> None:
    messages = [Message("user", [Part("text", str(n))]) for n in range(count)]
    ConversationStore(database).append(memory_id, messages)


def positions(database: str) -> list[int]:
    rows = MessageRow.objects.using(database).filter(conversation_id=KEY).order_by("position")
    return list(rows.values_list("position", flat=True))


def count(database: str) -> int:
    found: Any = conversation_with_key(database, KEY)
    number: int = found.message_count
    return number


def test_a_conversation_is_deleted_with_all_its_messages_and_no_other(database):
    add_messages(database, 3)
    add_messages(database, 2, "b")
    assert erase(database, KEY, 60) == ErasureResult(3, gone=True)
    assert [row.memory_id for row in conversations(database)] == ["b"]
    assert MessageRow.objects.using(database).count() == 2


def test_an_unknown_conversation_is_reported_as_gone(database):
    assert erase(database, KEY, 60) == ErasureResult(0, gone=True)


def test_a_deleted_conversation_starts_again_at_position_1(database):
    add_messages(database, 3)
    erase(database, KEY, 60)
    add_messages(database, 1)
    assert positions(database) == [1]


def test_no_transaction_deletes_more_than_a_batch(database):
    add_messages(database, 2 * BATCH + 1)
    with CaptureQueriesContext(connections[database]) as asked:
        assert erase(database, KEY, 60) == ErasureResult(2 * BATCH + 1, gone=True)
    deletions = [each["sql"] for each in asked if each["sql"].startswith("DELETE FROM")]
    assert sum("convstore_message" in sql for sql in deletions) >= 3


def test_the_next_call_deletes_what_the_first_had_no_time_for(database):
    add_messages(database, 2 * BATCH + 1)
    assert count(database) == 2 * BATCH + 1
    assert erase(database, KEY, 0) == ErasureResult(BATCH, gone=False)
    assert positions(database) == list(range(BATCH + 1, 2 * BATCH + 2))
    assert count(database) == BATCH + 1
    assert erase(database, KEY, 0) == ErasureResult(BATCH, gone=False)
    assert erase(database, KEY, 0) == ErasureResult(1, gone=True)


def test_appends_during_a_deletion_get_the_next_positions(database):
    add_messages(database, BATCH + 1)
    erase(database, KEY, 0)
    add_messages(database, 1)
    assert positions(database) == [BATCH + 1, BATCH + 2]


def test_a_deletion_loses_no_message_that_arrives_after_it(database):
    """A writer's message is deleted with the conversation, or it starts a new conversation."""
    acknowledged: list[int] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def write() -> None:
        try:
            while not stop.is_set():
                say_one()
        except BaseException as error:
            failed.append(error)
        finally:
            connections[database].close()

    def say_one() -> None:
        message = Message("user", [Part("text", "Hello!")])
        acknowledged.append(ConversationStore(database).append("a", [message]))

    add_messages(database, 3 * erasure.BATCH)
    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    try:
        erased = [erase(database, KEY, 60) for _ in range(10)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failed
    assert all(each.gone for each in erased)
    left = positions(database)
    assert left == list(range(1, len(left) + 1))
    deleted = sum(each.messages for each in erased)
    assert deleted + len(left) == 3 * erasure.BATCH + len(acknowledged)
