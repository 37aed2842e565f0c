"""Many writers at once: nothing lost, nothing twice, no hole in any reply."""

from __future__ import annotations

from collections import Counter, defaultdict

import psycopg
import pytest
from django.core.management import call_command
from psycopg import sql

from convstore.databases import connect
from convstore.store import ConversationStore
from tests.convstore.writers import WINDOW, WRITERS, Acknowledged, let_loose, text_of

SAID_TO_ONE = 100
CONVERSATIONS = 1000


@pytest.mark.parametrize("portable", [False, True], ids=["fast", "portable"])
@pytest.mark.parametrize(
    "conversations",
    [["one"] * SAID_TO_ONE, [f"c{n}" for n in range(CONVERSATIONS)]],
    ids=["one conversation", "1,000 conversations"],
)
def test_eight_processes_lose_double_and_disorder_nothing(
    database, database_url, conversations, portable
):
    replies = let_loose(database_url, portable=portable, conversations=conversations)

    histories = final_histories(ConversationStore(database), conversations)
    assert len(replies) == WRITERS * len(conversations)
    for reply in replies:
        assert_exact(reply, histories[reply.memory_id])
    acknowledged = defaultdict(list)
    for reply in replies:
        acknowledged[reply.memory_id].append(reply.text)
    for memory_id, bodies in histories.items():
        assert Counter(map(text_of, bodies)) == Counter(acknowledged[memory_id])
    assert_in_each_writers_order(histories)


@pytest.mark.parametrize("portable", [False, True], ids=["fast", "portable"])
def test_windows_are_exact_whatever_the_servers_default_isolation_is(new_database, portable):
    url = new_database("postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            sql.SQL(
                "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'"
            ).format(sql.Identifier(name))
        )
    store = ConversationStore(connect(url))
    call_command("migrate", "convstore", database=store.using, verbosity=0)

    replies = let_loose(url, portable=portable, conversations=["one"] * 20)

    histories = final_histories(store, ["one"])
    assert len(replies) == len(histories["one"]) == WRITERS * 20
    for reply in replies:
        assert_exact(reply, histories["one"])


def final_histories(store: ConversationStore, conversations: list[str]) -> dict[str, list[str]]:
    """Each conversation whole, after a check that its positions are 1, 2, 3 ..."""
    histories = {}
    for memory_id in set(conversations):
        window = store.window(memory_id, 2**31 - 1)
        assert [message.position for message in window] == list(range(1, len(window) + 1))
        histories[memory_id] = [message.body for message in window]
    return histories


def assert_exact(reply: Acknowledged, history: list[str]) -> None:
    """The reply is the piece of the final history that ends in its own message."""
    last = reply.positions[-1]
    first = max(1, last - WINDOW + 1)
    assert reply.positions == tuple(range(first, last + 1))
    assert list(reply.bodies) == history[first - 1 : last]
    assert text_of(reply.bodies[-1]) == reply.text


def assert_in_each_writers_order(histories: dict[str, list[str]]) -> None:
    for bodies in histories.values():
        said = defaultdict(list)
        for body in bodies:
            writer, _, n = text_of(body).partition("-")
            said[writer].append(int(n))
        for numbers in said.values():
            assert numbers == sorted(numbers)
