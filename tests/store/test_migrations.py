"""The tables: made forwards and back, their constraints named and in force."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.migrations.recorder import MigrationRecorder

from convstore.archive import erasure, lists
from convstore.database.server import fetch_row
from convstore.database.url import database_alias
from convstore.exchange.metadata import pair_digest
from convstore.messages import Message as Said
from convstore.messages import Part
from convstore.models import Conversation, Message, MetadataPair
from convstore.store import ConversationStore, conversation_key

NOW = datetime.now(UTC)
SAID = Said("user", (Part("text", "hello"),))


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


# A partition's constraint has a name of its own.
NAME_OF_TABLE = """
SELECT coalesce(whole.conname, own.conname)
FROM pg_constraint own LEFT JOIN pg_constraint whole ON whole.oid = own.conparentid
WHERE own.conname = %s"""


def refused(database: str, row: dict[str, Any], name: str) -> None:
    with pytest.raises(IntegrityError) as raised, transaction.atomic(database):
        Message.objects.using(database).create(**row)
    if connections[database].vendor == "postgresql":
        diagnosis: Any = raised.value.__cause__
        found = fetch_row(connections[database], NAME_OF_TABLE, [diagnosis.diag.constraint_name])
        assert found == (name,)


def test_the_models_have_all_their_migrations():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_migrations_run_forwards_and_back_and_forwards(new_database, database_kind):
    alias = database_alias(new_database(database_kind))
    for target in (None, "0001", None, "zero", None):
        migrate(alias, target)
    assert ConversationStore(alias).window("a", 1) == []


# --- Columns of a later version ----------------------------------------------------------

# What changes if a table is written anew.
STORAGE = {
    "sqlite": "SELECT rootpage FROM sqlite_schema WHERE name = 'convstore_{}'",
    "postgresql": "SELECT pg_relation_filenode('convstore_{}')",
    "mysql": "SELECT table_id, space FROM information_schema.innodb_sys_tables"
    " WHERE name = CONCAT(DATABASE(), '/convstore_{}')",
}
# As the version before 0004 writes them.
OLD_CONVERSATION = """
INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
VALUES (%(key)s, 'a', %(now)s, %(now)s)"""
OLD_MESSAGE = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
VALUES (%(key)s, %(position)s, 'user', %(body)s, %(request_key)s, %(request_key)s, %(now)s)"""


def migrate(alias: str, target: str | None = None) -> None:
    names = [target] if target else []
    call_command("migrate", "convstore", *names, database=alias, verbosity=0)


def write_as_before(connection: Any, memory_id: str, position: int) -> None:
    """Append as the oldest version does."""
    native = connection.features.has_native_uuid_field
    key, request_key = conversation_key(memory_id), uuid.uuid4()
    values = {
        "key": key if native else key.hex,
        "request_key": request_key if native else request_key.hex,
        "now": connection.ops.adapt_datetimefield_value(NOW),
        "position": position,
        "body": str(position),
    }
    with connection.cursor() as cursor:
        if position == 1:
            cursor.execute(OLD_CONVERSATION, values)
        cursor.execute(OLD_MESSAGE, values)


def storage(alias: str) -> list[Any]:
    found = []
    with connections[alias].cursor() as cursor:
        for table in ("conversation", "message"):
            cursor.execute(STORAGE[connections[alias].vendor].format(table))
            found.append(cursor.fetchone())
    return found


@pytest.fixture
def migrated_to_0003(new_database, database_kind):
    alias = database_alias(new_database(database_kind))
    migrate(alias, "0003")
    yield alias
    connections[alias].close()


def test_columns_are_added_and_no_row_is_written_anew(migrated_to_0003):
    alias = migrated_to_0003
    write_as_before(connections[alias], "a", 1)
    before = storage(alias)
    migrate(alias, "0004")
    assert storage(alias) == before


def test_rows_of_the_version_before_are_valid_also_those_that_it_still_writes(migrated_to_0003):
    alias = migrated_to_0003
    write_as_before(connections[alias], "a", 1)
    migrate(alias)
    write_as_before(connections[alias], "a", 2)
    assert [message.body for message in ConversationStore(alias).window("a", 9)] == ["1", "2"]
    rows = Message.objects.using(alias).values_list("size", "tokens", "kind")
    assert list(rows) == [(0, None, 0)] * 2
    found = Conversation.objects.using(alias).get()
    assert (found.erased, found.changes, found.first_live) == (0, 0, None)


def test_a_migration_that_was_interrupted_between_two_columns_goes_on(migrated_to_0003):
    alias = migrated_to_0003
    migrate(alias, "0004")
    with connections[alias].cursor() as cursor:
        cursor.execute("ALTER TABLE convstore_message DROP COLUMN tokens")
    MigrationRecorder(connections[alias]).record_unapplied("convstore", "0004_size_kind_and_erased")
    migrate(alias)
    assert ConversationStore(alias).append("a", [SAID]) == 1


def test_pairs_of_metadata_that_were_there_before_are_listed_for_their_tenants(migrated_to_0003):
    alias = migrated_to_0003
    migrate(alias)
    store, pair = ConversationStore(alias), ("user", "ada")
    for memory_id in ("acme/1", "acme/2", "b/1", "c"):
        store.create(memory_id, metadata=dict([pair]))
    MetadataPair.objects.using(alias).exclude(digest=pair_digest(*pair)).delete()
    assert lists.list_with_pair(alias, pair, None, 9, erasure.is_there, "acme/") == []
    migrate(alias, "0013")  # as a database before it, but for its pairs
    MigrationRecorder(connections[alias]).record_unapplied("convstore", "0013_pairs_of_tenants")
    migrate(alias)
    found = lists.list_with_pair(alias, pair, None, 9, erasure.is_there, "acme/")
    assert [row.memory_id for row in found] == ["acme/2", "acme/1"]
    assert MetadataPair.objects.using(alias).count() == 4 + 3


@pytest.mark.needs("postgresql")
def test_postgresqls_first_index_of_words_is_dropped(new_database):
    """Migration 0003 made it, before it did nothing."""
    alias = database_alias(new_database("postgresql"))
    migrate(alias, "0005")
    with connections[alias].cursor() as cursor:
        cursor.execute("CREATE INDEX message_words ON convstore_message (role)")
    migrate(alias)
    assert fetch_row(connections[alias], "SELECT to_regclass('message_words')") == (None,)
    connections[alias].close()


# --- Constraints -------------------------------------------------------------------------


def test_a_position_is_taken_once(database, message):
    Message.objects.using(database).create(**message)
    refused(database, {**message, "request_key": uuid.uuid4()}, "convstore_message_pkey")


def test_a_request_key_is_taken_once_in_a_conversation(database, message):
    Message.objects.using(database).create(**message)
    refused(database, {**message, "position": 2}, "message_request_once")


def test_positions_begin_with_1(database, message):
    refused(database, {**message, "position": 0}, "message_position_from_1")


def test_the_message_table_has_no_index_but_its_two_keys(database):
    with connections[database].cursor() as cursor:
        found = connections[database].introspection.get_constraints(cursor, "convstore_message")
    indexed = {
        frozenset(item["columns"])
        for item in found.values()
        if item["primary_key"] or item["unique"] or item["index"]
    }
    keys: list[set[str]] = [{"conversation_id", "position"}, {"conversation_id", "request_key"}]
    assert indexed == set(map(frozenset, keys))
