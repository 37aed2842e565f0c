"""The table of messages in partitions, on PostgreSQL: made, refused, and used like a plain one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction

from convstore.archive.erasure import erase
from convstore.archive.index_search import search_word_index
from convstore.archive.overview import MESSAGE_TABLE, reported_figures
from convstore.archive.word_switch import (
    fill_step,
    make_word_index,
    turn_words_off,
    turn_words_on,
    word_status,
)
from convstore.database.postgresql import indexes, word_index
from convstore.database.url import database_alias
from convstore.exchange.postgresql import PostgresFunctions
from convstore.models import Message
from convstore.store import ConversationStore, conversation_key
from tests.store.own_database import execute, migrate, say, texts, variant
from tests.store.test_migrations import write_as_before

pytestmark = pytest.mark.needs("postgresql")
PARTITIONS = 3


def make_partitioned(alias: str, number: int = PARTITIONS) -> None:
    call_command("migrate", "convstore", database=alias, verbosity=0, partitions=number)


@pytest.fixture
def new(new_database: Callable[[str], str]) -> Iterator[str]:
    """The alias of an empty database."""
    alias = database_alias(new_database("postgresql"))
    yield alias
    connections[alias].close()


@pytest.fixture(scope="module")
def shared(new_database: Callable[[str], str]) -> str:
    alias = database_alias(new_database("postgresql"))
    make_partitioned(alias)
    return alias


@pytest.fixture
def partitioned(shared: str) -> Iterator[str]:
    """The alias of a database with partitions, without messages."""
    yield shared
    turn_words_off(shared)
    for conversation in "abcdefgh":
        erase(shared, conversation_key(conversation), 60)
    connections[shared].close()


def described(alias: str) -> dict[str, Any]:
    """The columns and keys of the table of messages."""
    columns = "SELECT attname, atttypid, attnotnull FROM pg_attribute WHERE attnum > 0"
    keys = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n'"
    defaults = "SELECT adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE true"
    of_table = " AND {} = 'convstore_message'::regclass ORDER BY 1"
    return {
        "columns": execute(alias, columns + of_table.format("attrelid")),
        "keys": execute(alias, keys + of_table.format("conrelid")),
        "defaults": execute(alias, defaults + of_table.format("adrelid")),
    }


# --- Made, and refused -------------------------------------------------------------------


def test_a_new_table_of_messages_is_the_same_but_in_partitions(new, new_database):
    make_partitioned(new)
    plain = database_alias(new_database("postgresql"))
    migrate(plain)
    assert described(new) == described(plain)
    names = "SELECT relid::regclass::text FROM pg_partition_tree('convstore_message') WHERE isleaf"
    expected = [(f"convstore_message_p{n}",) for n in range(PARTITIONS)]
    assert sorted(execute(new, names)) == expected
    connections[plain].close()


def test_the_same_number_changes_nothing_and_another_one_is_refused(partitioned):
    ConversationStore(partitioned).append("a", say("1"))
    make_partitioned(partitioned)
    for number, reason in ((4, "has 3 partitions, and cannot get 4"), (1, "is 1, not 2 to")):
        with pytest.raises(CommandError, match=reason):
            make_partitioned(partitioned, number)
    assert texts(ConversationStore(partitioned).window("a", 9)) == ["1"]


def test_a_table_that_is_there_without_partitions_is_refused(new):
    migrate(new, "0001")
    with pytest.raises(CommandError, match="exists without partitions"):
        make_partitioned(new)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "beside",
    ["convstore --plan", "--check", "convstore 0001 --fake", "convstore --prune", "auth"],
)
def test_partitions_beside_what_makes_no_tables_are_refused(new_database, beside):
    alias = database_alias(new_database("sqlite"))
    with pytest.raises(CommandError, match=f"and .*{beside.split()[-1]} does not"):
        call_command("migrate", *beside.split(), "--partitions", "3", "--database", alias)
    assert connections[alias].introspection.table_names() == []
    connections[alias].close()


@pytest.mark.one_database
def test_another_kind_of_database_is_refused_and_left_empty(new_database):
    alias = database_alias(new_database("sqlite"))
    with pytest.raises(CommandError, match="this database is SQLite"):
        make_partitioned(alias)
    assert connections[alias].introspection.table_names() == []
    connections[alias].close()


class Interrupted(Exception):
    pass


def test_an_interruption_leaves_no_table_behind(new):
    def interrupt(execute: Any, sql: str, *rest: Any) -> Any:
        if "convstore_message_p1" in sql:
            raise Interrupted
        return execute(sql, *rest)

    with connections[new].execute_wrapper(interrupt), pytest.raises(Interrupted):
        make_partitioned(new)
    assert execute(new, "SELECT to_regclass('convstore_message')::text") == [(None,)]
    make_partitioned(new)
    assert ConversationStore(new).append("a", say("1")) == 1


def test_migrations_go_back_and_forward(new):
    make_partitioned(new)
    migrate(new, "0001")
    migrate(new)
    assert ConversationStore(new).append("a", say("1")) == 1
    migrate(new, "zero")
    assert execute(new, "SELECT relname FROM pg_class WHERE relname LIKE 'convstore_%'") == []


# --- Used --------------------------------------------------------------------------------

CALLS = """
SELECT * FROM convstore_exchange_v2('{key}', 'a', now(), 5000, '{{"size": 5}}',
  gen_random_uuid(), ARRAY['user'], ARRAY['{{}}'], ARRAY[gen_random_uuid()], ARRAY[2], NULL, NULL,
  NULL);
SELECT * FROM convstore_window_v1('{key}', 'a', '{{"size": 5}}');
SELECT * FROM convstore_plain_window_v1('{key}', 'a', 5, 1000)"""
# Scans by this session, which counts what it has not told the others yet.
SCANS = """
SELECT relname, idx_scan, seq_scan FROM pg_stat_xact_user_tables
WHERE relname LIKE 'convstore_message_p%' ORDER BY relname"""


def scans_by(alias: str, statement: str) -> list[tuple[int, int]]:
    """For each partition: how many scans of an index, and of the table."""
    with transaction.atomic(alias):
        before = execute(alias, SCANS)
        execute(alias, statement)
        after = execute(alias, SCANS)
    return [(new[1] - old[1], new[2] - old[2]) for old, new in zip(before, after, strict=True)]


def test_the_functions_serve_and_each_uses_one_partition(partitioned):
    store = ConversationStore(partitioned)
    for conversation in "abcdefgh":
        for text in "1234":
            window = store.exchange(conversation, say(text, "system"), 3)
        assert texts(window) == ["1", "3", "4"]
    assert variant(partitioned) is PostgresFunctions
    used = "SELECT count(DISTINCT tableoid) FROM convstore_message"
    assert execute(partitioned, used)[0][0] > 1
    for call in CALLS.format(key=conversation_key("a")).split(";"):
        scans = scans_by(partitioned, call)
        assert [by_index > 0 for by_index, _ in scans].count(True) == 1
        assert [whole for _, whole in scans] == [0] * PARTITIONS


def test_a_conversation_is_erased(partitioned):
    store = ConversationStore(partitioned)
    store.append("a", say("1"))
    store.append("b", say("1"))
    assert erase(partitioned, conversation_key("a"), 60).gone
    assert list(Message.objects.using(partitioned).values_list("conversation_id", flat=True)) == [
        conversation_key("b")
    ]


def test_rows_are_estimated_as_the_sum_of_the_partitions(partitioned):
    store = ConversationStore(partitioned)
    for conversation in "abcdefgh":
        store.append(conversation, say("1") * 10)
    for n in range(PARTITIONS):  # as autovacuum does; it leaves out the table itself
        execute(partitioned, f"ANALYZE convstore_message_p{n}")
    assert reported_figures(partitioned)[MESSAGE_TABLE] == 80


# --- Words -------------------------------------------------------------------------------


def test_words_are_turned_on_and_off_and_the_index_finds_messages(partitioned):
    store = ConversationStore(partitioned)
    for conversation in "abcdefgh":
        store.append(conversation, say(f"the needle of {conversation}"))
    turn_words_on(partitioned)
    assert list(iter(lambda: fill_step(partitioned), None)) == [8]
    make_word_index(partitioned)
    assert word_status(partitioned).index == "an index"
    store.append("a", say("another needle"))
    result = search_word_index(partitioned, ["needle"])
    assert result
    assert sorted(hit.memory_id for hit in result.hits) == ["a", *"abcdefgh"]
    with transaction.atomic(partitioned):
        execute(partitioned, "SET LOCAL enable_seqscan = off")
        query = word_index.CONDITION.replace("%s", "'needle'")
        plan = execute(partitioned, f"EXPLAIN SELECT 1 FROM convstore_message WHERE {query}")  # noqa: S608
    assert str(plan).count("Bitmap Index Scan on message_terms_") == PARTITIONS
    turn_words_off(partitioned)
    assert word_status(partitioned).index == "no index"
    left = "SELECT relname FROM pg_class WHERE relname LIKE 'message_terms%'"
    assert execute(partitioned, left) == []


@pytest.mark.parametrize("again", [make_word_index, turn_words_off])
def test_an_index_of_words_that_was_interrupted_is_made_or_dropped(partitioned, again):
    turn_words_on(partitioned)
    assert fill_step(partitioned) is None
    holder = connections[partitioned].copy()
    with closing(holder), connections[partitioned].cursor() as cursor:
        holder.set_autocommit(False)
        write_as_before(holder, "a", 1)
        cursor.execute("SET statement_timeout = '200ms'")
        with pytest.raises(OperationalError):
            make_word_index(partitioned)
        cursor.execute("RESET statement_timeout")
        holder.rollback()
    assert word_status(partitioned).index == "an unfinished index"
    assert not word_index.exists(connections[partitioned])
    again(partitioned)
    expected = "an index" if again is make_word_index else "no index"
    assert word_status(partitioned).index == expected
    assert indexes.is_begun(connections[partitioned], word_index.INDEX) == (expected == "an index")


def test_appends_go_on_while_the_index_of_words_is_made(partitioned):
    turn_words_on(partitioned)
    store = ConversationStore(partitioned)
    store.append("a", say("the needle"))
    while fill_step(partitioned) is not None:
        pass
    holder = connections[partitioned].copy()
    with closing(holder), ThreadPoolExecutor(1) as threads:
        holder.set_autocommit(False)
        with holder.cursor() as cursor:
            cursor.execute("UPDATE convstore_message SET role = role")
        making = threads.submit(make_index_in_thread, partitioned)
        while word_status(partitioned).index != "an index that is being made":
            assert not making.done()
        for conversation in "bcdefgh":
            store.append(conversation, say("another needle"))
        assert not making.done()
        holder.rollback()
        making.result()
    result = search_word_index(partitioned, ["needle"])
    assert result
    assert sorted(hit.memory_id for hit in result.hits) == list("abcdefgh")


def make_index_in_thread(alias: str) -> None:
    try:
        make_word_index(alias)
    finally:
        connections[alias].close()
