"""Append, window and exchange, on every database and over every variant."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction

from convstore.database.url import database_alias
from convstore.errors import IdentityClash, RequestKeyReused, Unavailable
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
    StoredMessage,
)
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part
from convstore.models import Conversation
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key, reading_of
from tests.batches import batch_for


def say(text: str, role: str = "user") -> Message:
    return Message(role, (Part("text", text),))


def texts(window: list[StoredMessage]) -> list[str]:
    return [json.loads(message.body)["content"][0]["value"] for message in window]


def fill(store: ConversationStore, memory_id: str, count: int) -> None:
    for n in range(1, count + 1):
        store.append(memory_id, [say(str(n))])


def test_an_unknown_conversation_has_an_empty_window_and_is_not_made(store):
    assert store.window("nobody", 50) == []
    assert not Conversation.objects.using(store.using).exists()


def test_an_exchange_answers_with_its_own_message_last(store):
    assert texts(store.exchange("a", [say("1")], 10)) == ["1"]
    assert texts(store.exchange("a", [say("2")], 10)) == ["1", "2"]


def test_append_answers_with_the_position_of_the_last_message(store):
    assert store.append("a", [say("1")]) == 1
    assert store.append("a", [say("2"), say("3")]) == 3


def test_positions_are_1_2_3_in_each_conversation(store):
    fill(store, "a", 3)
    fill(store, "b", 2)
    assert [message.position for message in store.window("a", 10)] == [1, 2, 3]
    assert [message.position for message in store.window("b", 10)] == [1, 2]


def test_a_window_holds_the_last_messages_oldest_first(store):
    fill(store, "a", 7)
    assert texts(store.window("a", 3)) == ["5", "6", "7"]
    assert texts(store.exchange("a", [say("8")], 3)) == ["6", "7", "8"]


def test_a_window_of_exactly_all_messages_has_each_once(store):
    fill(store, "a", 3)
    assert texts(store.window("a", 3)) == ["1", "2", "3"]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, ["5"]),
        (2, ["0", "5"]),
        (4, ["0", "3", "4", "5"]),
        (5, ["0", "2", "3", "4", "5"]),
        (6, ["0", "1", "2", "3", "4", "5"]),
        (50, ["0", "1", "2", "3", "4", "5"]),
    ],
)
def test_a_first_system_message_is_pinned_and_counts(store, role, size, expected):
    store.append("a", [say("0", role)])
    fill(store, "a", 4)
    assert texts(store.exchange("a", [say("5")], size)) == expected
    assert texts(store.window("a", size)) == expected


@pytest.mark.parametrize("role", ["System", "system ", "user", "assistant", "sÿstem"])
def test_a_first_message_of_another_role_is_not_pinned(store, role):
    store.append("a", [say("0", role)])
    fill(store, "a", 3)
    assert texts(store.window("a", 2)) == ["2", "3"]


def test_a_later_system_message_is_not_pinned(store):
    store.append("a", [say("0")])
    store.append("a", [say("1", "system")])
    fill(store, "a", 3)
    assert texts(store.window("a", 2)) == ["2", "3"]


def test_several_messages_are_added_in_their_order(store):
    window = store.exchange("a", [say(str(n)) for n in range(20)], 50)
    assert texts(window) == [str(n) for n in range(20)]
    assert [message.position for message in window] == list(range(1, 21))


def test_messages_of_which_one_fails_are_not_added_at_all(store):
    fill(store, "a", 1)
    to = ConversationRef(conversation_key("a"), "a", datetime.now(UTC))
    good = NewMessage("user", "{}", uuid.uuid4(), uuid.uuid4(), 2)
    nobody: Any = None
    bad = replace(good, role=nobody, request_key=uuid.uuid4())
    with pytest.raises(IntegrityError):
        store.variant(store.using).exchange(to, [good, bad], reading_of(10))
    assert texts(store.window("a", 10)) == ["1"]


def test_the_same_request_key_adds_once_and_answers_the_same(store):
    key = uuid.uuid4()
    first = store.exchange("a", [say("1"), say("2")], 10, key)
    store.append("a", [say("3")])
    again = store.exchange("a", [say("1"), say("2")], 10, key)
    assert again == first
    assert texts(store.window("a", 10)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "said",
    [["other"], ["1", "other"], ["1", "2", "3"], ["1"], ["2", "1"], ["1", "2 "]],
    ids=["other", "last differs", "more", "fewer", "another order", "a blank more"],
)
def test_a_request_key_of_other_messages_is_refused_and_adds_nothing(store, said):
    key = uuid.uuid4()
    store.exchange("a", [say("1"), say("2")], 10, key)
    store.append("a", [say("between")])
    with pytest.raises(RequestKeyReused):
        store.exchange("a", [say(text) for text in said], 10, key)
    assert texts(store.window("a", 10)) == ["1", "2", "between"]


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_request_of_which_a_part_is_gone_adds_nothing_and_gets_what_is_left(store, gone):
    """An interrupted deletion may have taken it: to add it anew would put it out of order."""
    key = uuid.uuid4()
    request = [say("1"), say("2"), say("3")]
    store.exchange("a", request, 10, key)
    Row.objects.using(store.using).filter(position=gone).delete()
    left = [each for n, each in enumerate(["1", "2", "3"], 1) if n != gone]
    assert texts(store.exchange("a", request, 10, key)) == left
    with pytest.raises(RequestKeyReused):
        store.exchange("a", [*request[:2], say("other")], 10, key)
    assert Row.objects.using(store.using).count() == 2


def test_a_large_message_is_stored_once_and_whole(store):
    key, large = uuid.uuid4(), say("x" * 2_000_000)
    for _ in range(2):
        assert [row.body for row in store.exchange("a", [large], 9, key)] == [large.to_json()]
    assert Row.objects.using(store.using).count() == 1


def test_rows_know_the_bytes_of_their_bodies(store):
    store.append("a", [say("é😀"), say("\ud800")])
    rows = Row.objects.using(store.using)
    assert all(row.size == len(row.body.encode()) for row in rows)
    assert set(rows.values_list("kind", "tokens")) == {(0, None)}


def test_a_request_whose_messages_are_not_there_afterwards_is_tried_again(store, settings):
    """A server that ran only a part of the statements, and told no error."""
    settings.DATABASE_TIMEOUT = 1
    tries = []

    class Forgetful:
        def exchange(self, *_: object) -> Reply:
            tries.append(1)
            return Reply(Outcome.NOT_STORED)

    forgetful: Any = Forgetful()
    with pytest.raises(Unavailable):
        ConversationStore(store.using, lambda _: forgetful).append("a", [say("1")])
    assert len(tries) > 1


def test_a_request_key_belongs_to_one_conversation(store):
    key = uuid.uuid4()
    store.exchange("a", [say("1")], 10, key)
    store.exchange("b", [say("1")], 10, key)
    assert texts(store.window("b", 10)) == ["1"]


IDS = ["emoji", "EMOJI", "émoji", "emoji ", " emoji", "e\u0301moji", "😀", "😁", "'; --", "%s", "1"]


def test_ids_that_only_look_alike_are_different_conversations(store):
    for memory_id in IDS:
        store.append(memory_id, [say(memory_id)])
    for memory_id in IDS:
        assert texts(store.window(memory_id, 10)) == [memory_id]


def test_an_id_of_a_tenant_may_be_longer_than_any_other(store):
    for memory_id in ("t" * 63 + "/" + end * 510 for end in "äb"):
        assert texts(store.exchange(memory_id, [say(memory_id[-1])], 5)) == [memory_id[-1]]
        assert store.append(memory_id, [say("2"), say("3")]) == 3
        assert len(store.window(memory_id, 5)) == 3


def test_a_key_that_another_id_holds_is_never_served_or_mixed(store):
    store.append("a", [say("1")])
    Conversation.objects.using(store.using).filter(pk=conversation_key("a")).update(memory_id="z")
    with pytest.raises(IdentityClash):
        store.append("a", [say("2")])
    assert Row.objects.using(store.using).count() == 1
    assert store.window("a", 10) == []


def test_keys_are_version_8_uuids_so_that_every_database_takes_them():
    key = conversation_key("6e1f1413")
    assert key.version == 8
    assert key.variant == uuid.RFC_4122


def test_every_hash_is_a_key_that_the_database_takes(store):
    """MariaDB's UUID type refuses some; it takes these back as they were."""
    keys = [conversation_key(str(n)) for n in range(3000)]
    now = datetime.now(UTC)
    rows = Conversation.objects.using(store.using)
    rows.bulk_create(
        Conversation(id=key, memory_id=str(n), created_at=now, active_at=now)
        for n, key in enumerate(keys)
    )
    assert set(rows.values_list("id", flat=True)) == set(keys)


def test_active_at_is_rewritten_once_an_hour_at_most(store):
    fill(store, "a", 1)
    rows = Conversation.objects.using(store.using)
    before = rows.get().active_at
    fill(store, "a", 1)
    assert rows.get().active_at == before
    rows.update(active_at="2020-01-01T00:00:00Z")
    fill(store, "a", 1)
    assert rows.get().active_at >= before


def test_an_exchange_inside_a_transaction_is_refused(store):
    with transaction.atomic(store.using), pytest.raises(RuntimeError):
        store.append("a", [say("1")])
    assert store.window("a", 10) == []


def test_roles_of_any_text_are_kept_in_the_body(store):
    for role in ("", "a\0b", "\ud800", "x" * 300):
        store.append("a", [say("1", role)])
    roles = [json.loads(message.body)["role"] for message in store.window("a", 10)]
    assert roles == ["", "a\0b", "\ud800", "x" * 300]


def test_an_exchange_is_few_statements(database):
    # All in one message; or BEGIN, lock, add and window.
    expected = {"postgresql": 1, "mysql": 1, "sqlite": 4}[connections[database].vendor]
    with connections[database].execute_wrapper(count := Counter()):
        ConversationStore(database).exchange("a", [say("1")], 50)
    assert count.statements == expected


@pytest.mark.needs("mariadb")
@pytest.mark.parametrize(
    "variant", [statements_for, batch_for, PortableOrm], ids=["fast", "batched", "portable"]
)
def test_mariadb_needs_no_temporary_table(new_database, variant):
    """With bodies in it, it would be on the disk."""
    store = ConversationStore(database_alias(new_database("mariadb")), variant)
    call_command("migrate", "convstore", database=store.using, verbosity=0)
    store.append("a", [say("0", "system")])
    fill(store, "a", 10)
    before = temporary_tables(store)
    store.exchange("a", [say("11"), say("12")], 5)
    for size in (5, 99):
        store.exchange("a", [say("13")], size)
        store.window("a", size)
    assert temporary_tables(store) == before
    connections[store.using].close()


def temporary_tables(store: ConversationStore) -> dict[str, str]:
    """How many this connection has made so far."""
    with connections[store.using].cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Created_tmp%tables'")
        return dict(cursor.fetchall())


class Counter:
    """Counts what is sent to the database."""

    statements = 0

    def __call__(self, execute, *args):
        self.statements += 1
        return execute(*args)


def test_a_window_takes_two_statements_at_most(store):
    fill(store, "a", 5)
    begin = 1 if connections[store.using].vendor == "sqlite" else 0  # there, it costs no round trip
    with connections[store.using].execute_wrapper(count := Counter()):
        store.window("a", 2)
    assert count.statements <= 2 + begin
