"""PostgreSQL behind pgbouncer in transaction mode: each statement may meet another process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connections

from convstore.database.url import database_alias
from convstore.exchange.postgresql import PostgresBatch, PostgresFunctions, session_of
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from testing.pgbouncer import PgBouncer
from testing.postgres import Postgres

pytestmark = pytest.mark.needs("postgresql", "pgbouncer")

WRITERS, EACH = 8, 15


@pytest.fixture(scope="module")
def pooler(postgresql: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(postgresql) as pooler:
        yield pooler


@pytest.fixture
def direct(new_database: Callable[[str], str]) -> Iterator[str]:
    """The alias of a database with tables, past the pooler."""
    alias = database_alias(new_database("postgresql"))
    call_command("migrate", "convstore", database=alias, verbosity=0)
    yield alias
    connections[alias].close()


@pytest.fixture
def alias(pooler: PgBouncer, direct: str) -> Iterator[str]:
    """The alias of the same database by way of the pooler."""
    alias = database_alias(pooler.url(connections[direct].settings_dict["NAME"]))
    yield alias
    connections[alias].close()


def texts(window):
    return [json.loads(message.body)["content"][0]["value"] for message in window]


@pytest.mark.parametrize("variant", [statements_for, PostgresBatch], ids=["functions", "batch"])
def test_writers_that_share_few_connections_lose_and_double_nothing(alias, direct, variant):
    sent = [[f"{writer}-{n}" for n in range(EACH)] for writer in range(WRITERS)]

    def write(writer: int) -> list[list[str]]:
        store, replies = ConversationStore(alias, variant), []
        for text in sent[writer]:
            replies.append(texts(store.exchange("a", [Message("user", [Part("text", text)])], 500)))
            assert texts(store.window("a", 500))[: len(replies[-1])] == replies[-1]
        connections[alias].close()
        return replies

    with ThreadPoolExecutor(WRITERS) as threads:
        replies = [reply for written in threads.map(write, range(WRITERS)) for reply in written]
    history = texts(ConversationStore(direct).window("a", 500))
    assert sorted(history) == sorted(text for each in sent for text in each)
    assert all(reply == history[: len(reply)] for reply in replies)


def test_the_functions_serve_and_nothing_stays_in_the_shared_sessions(alias):
    store = ConversationStore(alias)
    store.append("a", [Message("user", [Part("text", "1")])])
    store.window("a", 9)
    session = session_of(connections[alias])
    assert isinstance(statements_for(alias), PostgresFunctions)
    assert session.has_functions
    assert not session.is_direct
    with connections[alias].cursor() as cursor:
        for statement, expected in (
            ("SELECT count(*) FROM pg_prepared_statements", 0),
            ("SHOW enable_seqscan", "on"),
            ("SHOW lock_timeout", "0"),
        ):
            cursor.execute(statement)
            assert cursor.fetchone() == (expected,)
