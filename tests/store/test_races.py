"""Many writers at once: nothing lost, nothing twice, no hole in any reply."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import psycopg
import pytest
from django.core.management import call_command
from psycopg import sql

from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from tests.length import times
from tests.store.writers import VARIANTS, WINDOW, Acknowledged, processes, run_writers, text_of

CONVERSATIONS = [f"c{n}" for n in range(1000)]
# How many messages are sent in all, whatever the number of writers.
SENT_TO_ONE, SENT_TO_MANY = times(200, soak=800), times(400, soak=2000)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with processes() as pool:
        yield pool


def orders_to_one(writers: int) -> list[list[str]]:
    return [["one"] * (SENT_TO_ONE // max(writers, 8))] * writers


def orders_to_many(writers: int) -> list[list[str]]:
    """To each conversation once, in an order of one's own, as far as it is one's turn."""
    count = min(len(CONVERSATIONS), SENT_TO_MANY // writers)
    return [random.Random(writer).sample(CONVERSATIONS, count) for writer in range(writers)]


WRITERS = {
    "1 writer": (1, 1),
    "8 threads": (8, 1),
    "8 processes": (8, 8),
    "32 writers in 4 processes": (32, 4),
}
ORDERS = {"hot": orders_to_one, "1,000": orders_to_many}
EXISTING = {"new": False, "existing": True}
# Of all combinations those that run each time: each value with each of most others, once.
CHOSEN = [
    ("1 writer", "1,000", "new", "fast"),
    ("8 threads", "hot", "existing", "fast"),
    ("8 processes", "1,000", "existing", "fast"),
    ("32 writers in 4 processes", "hot", "new", "fast"),
    ("8 threads", "1,000", "new", "batch"),
    ("32 writers in 4 processes", "hot", "existing", "batch"),
    ("8 threads", "1,000", "new", "portable"),
    ("8 processes", "hot", "new", "portable"),
    ("32 writers in 4 processes", "1,000", "existing", "portable"),
]
CASES = [
    pytest.param(
        *WRITERS[case[0]],
        ORDERS[case[1]],
        EXISTING[case[2]],
        case[3],
        marks=pytest.mark.soak if case in CHOSEN else pytest.mark.soak_only,
        id="-".join(case),
    )
    for case in product(WRITERS, ORDERS, EXISTING, VARIANTS)
]


@pytest.mark.parametrize(("writers", "in_processes", "orders", "existing", "variant"), CASES)
def test_writers_lose_double_and_disorder_nothing(
    pool, database, database_url, writers, in_processes, orders, existing, variant
):
    store, written = ConversationStore(database), orders(writers)
    memory_ids = sorted({memory_id for order in written for memory_id in order})
    before = ["before-0", "before-1"] if existing else []
    for memory_id in memory_ids if existing else ():
        store.append(memory_id, [Message("user", (Part("text", text),)) for text in before])

    replies = run_writers(pool, database_url, written, variant=variant, processes=in_processes)

    assert len(replies) == sum(map(len, written))
    assert_exact(store, replies, memory_ids, before)


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("variant", ["fast", "portable"])
def test_windows_are_exact_whatever_the_servers_default_isolation_is(pool, new_database, variant):
    url = new_database("postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            sql.SQL(
                "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'"
            ).format(sql.Identifier(name))
        )
    store = ConversationStore(database_alias(url))
    call_command("migrate", "convstore", database=store.using, verbosity=0)
    replies = run_writers(pool, url, [["one"] * 20] * 8, variant=variant, processes=8)
    assert len(replies) == 160
    assert_exact(store, replies, ["one"], [])


def assert_exact(
    store: ConversationStore,
    replies: Sequence[Acknowledged],
    memory_ids: Sequence[str],
    before: Sequence[str],
) -> None:
    """The histories hold what was there before and what was sent, and every reply fits them."""
    histories = {memory_id: final_history(store, memory_id) for memory_id in memory_ids}
    acknowledged = defaultdict(list, {memory_id: list(before) for memory_id in memory_ids})
    for reply in replies:
        assert_fits(reply, histories[reply.memory_id])
        acknowledged[reply.memory_id].append(reply.text)
    for memory_id, bodies in histories.items():
        texts = list(map(text_of, bodies))
        assert Counter(texts) == Counter(acknowledged[memory_id])
        assert texts[: len(before)] == list(before)
        assert_in_each_writers_order(texts)


def final_history(store: ConversationStore, memory_id: str) -> list[str]:
    """A conversation whole, after a check that its positions are 1, 2, 3 ..."""
    window = store.window(memory_id, 2**31 - 1)
    assert [message.position for message in window] == list(range(1, len(window) + 1))
    return [message.body for message in window]


def assert_fits(reply: Acknowledged, history: list[str]) -> None:
    """The reply is the final history up to its own message, as far as the window reaches."""
    last = reply.positions[-1]
    first = max(1, last - WINDOW + 1)
    assert reply.positions == tuple(range(first, last + 1))
    assert list(reply.bodies) == history[first - 1 : last]
    assert text_of(reply.bodies[-1]) == reply.text


def assert_in_each_writers_order(texts: Sequence[str]) -> None:
    numbers_of = defaultdict(list)
    for text in texts:
        writer, _, n = text.partition("-")
        numbers_of[writer].append(int(n))
    for numbers in numbers_of.values():
        assert numbers == sorted(numbers)
