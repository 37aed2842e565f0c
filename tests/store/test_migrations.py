"""The tables: made forwards and back, their constraints named and in force."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction

from convstore.database.url import database_alias
from convstore.models import Conversation, Message
from convstore.store import ConversationStore, conversation_key

NOW = datetime.now(UTC)


@pytest.fixture
def message(database):
    """The first message of a conversation, as a row that was not yet written."""
    key = conversation_key("a")
    rows = Conversation.objects.using(database)
    rows.create(id=key, memory_id="a", created_at=NOW, active_at=NOW)
    return {
        "conversation_id": key,
        "position": 1,
        "role": "user",
        "body": "{}",
        "request_key": uuid.uuid4(),
        "fingerprint": uuid.uuid4(),
        "created_at": NOW,
    }


def refused(database: str, row: dict[str, Any], name: str) -> None:
    with pytest.raises(IntegrityError) as raised, transaction.atomic(database):
        Message.objects.using(database).create(**row)
    if connections[database].vendor == "postgresql":
        assert name in str(raised.value)


def test_the_models_have_all_their_migrations():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_migrations_run_forwards_and_back_and_forwards(new_database, database_kind):
    alias = database_alias(new_database(database_kind))
    for target in ("0001", "zero", "0001"):
        call_command("migrate", "convstore", target, database=alias, verbosity=0)
    assert ConversationStore(alias).window("a", 1) == []


def test_a_position_is_taken_once(database, message):
    Message.objects.using(database).create(**message)
    refused(database, {**message, "request_key": uuid.uuid4()}, "convstore_message_pkey")


def test_a_request_key_is_taken_once_in_a_conversation(database, message):
    Message.objects.using(database).create(**message)
    refused(database, {**message, "position": 2}, "message_request_once")


def test_positions_begin_with_1(database, message):
    refused(database, {**message, "position": 0}, "message_position_from_1")


def test_the_message_table_has_no_index_but_its_two_keys_and_on_postgresql_its_words(database):
    with connections[database].cursor() as cursor:
        found = connections[database].introspection.get_constraints(cursor, "convstore_message")
    indexed = {
        frozenset(item["columns"])
        for item in found.values()
        if item["primary_key"] or item["unique"] or item["index"]
    }
    keys: list[set[str]] = [{"conversation_id", "position"}, {"conversation_id", "request_key"}]
    if connections[database].vendor == "postgresql":
        keys.append(set())  # of an expression, and so of no column
        assert found["message_words"]["type"] == "gin"
    assert indexed == set(map(frozenset, keys))
