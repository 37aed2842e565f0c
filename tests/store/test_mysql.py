"""What is particular to MariaDB and MySQL: their servers' defaults, and their packets."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from convstore.database.mysql.base import Connection
from convstore.database.url import database_alias
from convstore.errors import MessageTooLarge, Unavailable
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from testing.bodies import append_request, read_request
from testing.mariadb import MariaDb
from testing.service import Service, write_memory
from tests.batches import batch_for
from tests.doors import HttpDoor

pytestmark = pytest.mark.needs("mariadb")


def say(text: str) -> list[Message]:
    return [Message("user", (Part("text", text),))]


@pytest.fixture(scope="module")
def plain() -> Iterator[MariaDb]:
    """A server with MariaDB's own defaults: latin1, REPEATABLE READ, packets of 16 MiB."""
    with MariaDb() as server:
        yield server


@pytest.fixture
def database_name(plain: MariaDb) -> str:
    """A database with that server's defaults."""
    name = f"d_{uuid.uuid4().hex[:12]}"
    plain.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture(
    params=[statements_for, batch_for, PortableOrm], ids=["fast", "batched", "portable"]
)
def store(
    plain: MariaDb, database_name: str, request: pytest.FixtureRequest
) -> Iterator[ConversationStore]:
    alias = database_alias(plain.url(database_name))
    call_command("migrate", "convstore", database=alias, verbosity=0)
    yield ConversationStore(alias, request.param)
    connections[alias].close()


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "ascii", "utf16"])
@pytest.mark.parametrize("strict", ["", "STRICT_TRANS_TABLES"])
def test_every_text_is_kept_whatever_the_database_was_made_as(plain, charset, strict):
    name = f"made_as_{charset}_{len(strict)}"
    plain.execute(f"CREATE DATABASE {name} CHARACTER SET {charset}")
    plain.execute(f"SET GLOBAL sql_mode = '{strict}'")
    plain.execute("SET GLOBAL default_storage_engine = 'MyISAM'")
    store = ConversationStore(database_alias(plain.url(name)))
    call_command("migrate", database=store.using, verbosity=0)
    memory_id = "😀é\u0301ж對 "
    store.append(memory_id, say("😀é\u0301ж對 \\'\";%s"))
    (row,) = store.window(memory_id, 10)
    assert row.body == say("😀é\u0301ж對 \\'\";%s")[0].to_json()
    with connections[store.using].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT engine, table_collation FROM information_schema.tables"
            " WHERE table_schema = DATABASE()"
        )
        assert list(cursor.fetchall()) == [("InnoDB", "utf8mb4_bin")]
    connections[store.using].close()


def test_a_session_is_read_committed_and_strict(store):
    store.check()
    with connections[store.using].cursor() as cursor:
        cursor.execute("SELECT @@tx_isolation, @@sql_mode, @@innodb_lock_wait_timeout")
        isolation, mode, wait = cursor.fetchone()
    assert isolation == "READ-COMMITTED"
    assert "STRICT_ALL_TABLES" in mode
    assert wait == 5


def test_only_connections_without_options_share_what_tls_needs(plain, database_name):
    """To make it anew costs a hundred times as much as the rest of a connection."""
    alias = database_alias(plain.url(database_name))
    contexts = []
    for _ in range(2):
        connections[alias].ensure_connection()
        contexts.append(connections[alias].connection.ctx)
        connections[alias].close()
    assert contexts[0] is contexts[1]
    other = Connection(defer_connect=True, ssl={"verify_mode": "none"})
    assert vars(other)["ctx"] is not contexts[0]


@pytest.mark.parametrize("size", [16 * 2**20, 40 * 2**20])
def test_a_message_over_the_packets_limit_is_one_error_and_the_connection_lives_on(
    store, size, settings
):
    settings.MAX_REPLY_BYTES = 2**30
    store.append("a", say("1"))
    before = connection_id(store)
    with pytest.raises(MessageTooLarge, match="max_allowed_packet"):
        store.append("a", say("x" * size))
    assert store.append("a", say("2")) == 2
    assert connection_id(store) == before


def test_a_message_just_below_the_packets_limit_is_kept(store):
    text = "x" * (16 * 2**20 - 8192)
    store.append("a", say(text))
    assert store.window("a", 1)[0].body == say(text)[0].to_json()


def test_a_message_over_the_packets_limit_is_413_at_the_door(plain, database_name, tmp_path):
    write_memory(tmp_path / "models", "memory", {"database": "sql"})
    url, models = plain.url(database_name), str(tmp_path / "models")
    with Service(tmp_path, DATABASE_URL=url, MODELS_DIR=models) as service:
        door = HttpDoor(service)
        reply = door.infer(append_request("a", "x" * 17 * 2**20))
        assert reply.status == 413
        assert "max_allowed_packet" in reply.document["error"]
        assert door.infer(read_request("a")).history == []


def test_an_error_in_the_middle_of_an_exchange_leaves_no_transaction_open(
    plain, database_name, store
):
    """The server stops at the statement that failed, after it took the lock."""
    store.append("a", say("1"))
    plain.execute(
        f"CREATE TRIGGER {database_name}.refuse BEFORE INSERT ON"
        f" {database_name}.convstore_message FOR EACH ROW"
        " IF NEW.body LIKE '%refused%' THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    with pytest.raises(Unavailable) as refused:
        store.append("a", say("refused"))
    assert "user-defined exception" in str(refused.value.__cause__)
    # The connection was dropped, which the server may hear of a moment later.
    deadline = time.monotonic() + 30
    while plain.execute("SELECT COUNT(*) FROM information_schema.innodb_trx") != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.append("a", say("2")) == 2


def test_an_exchange_inside_a_transaction_is_refused_and_adds_nothing(store):
    with transaction.atomic(store.using), pytest.raises(RuntimeError):
        store.append("a", say("1"))
    assert store.window("a", 10) == []


def connection_id(store: ConversationStore) -> int:
    with connections[store.using].cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        number: int = cursor.fetchone()[0]
    return number
