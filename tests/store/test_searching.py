"""Search for words: in one conversation, with the index, and in the last messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import MessageRow
from convstore.archive.search import (
    BEGINNING_CHARACTERS,
    LAST_MESSAGES,
    MAX_CONVERSATIONS,
    MAX_HITS,
    MAX_MESSAGES_READ,
    SearchResult,
    query_words,
    search_conversation,
    search_last_messages,
    search_word_index,
)
from convstore.database.postgresql import POSTGRESQL
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.store import ConversationStore, conversation_key
from testing.bodies import new_id
from testing.postgres import Postgres


def add_messages(database: str, memory_id: str, *contents: Message | str) -> ConversationRow:
    messages = [each if isinstance(each, Message) else text(each) for each in contents]
    ConversationStore(database).append(memory_id, messages)
    return conversations(database).get(pk=conversation_key(memory_id))


def text(*values: str) -> Message:
    return Message("user", [Part("text", value) for value in values])


def positions(found: SearchResult | None) -> list[int]:
    assert found is not None
    return [hit.position for hit in found.hits]


def look(
    database: str, conversation: ConversationRow, query: str, below: int = 10_000
) -> SearchResult:
    return search_conversation(database, conversation, query_words(query), below)


# --- In one conversation -----------------------------------------------------------------


def test_a_message_must_contain_every_word_in_any_case(database):
    conversation = add_messages(database, "a", "The Quick brown fox", "a QUICK dog", "brown bread")
    assert positions(look(database, conversation, "quick")) == [2, 1]
    assert positions(look(database, conversation, "BROWN quick")) == [1]
    assert positions(look(database, conversation, "ick bro")) == [1]
    assert positions(look(database, conversation, "cat")) == []


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("ÉCOLE à Zürich", "école zürich"),
        ("ПРИВЕТ, мир", "привет"),
        ("你好 世界", "世界"),
        ("مرحبا بالعالم", "بالعالم"),
        ("100% of a_b\\c", "100% a_b\\c"),
        ('she said "hello"\nand left', '"hello" and'),
        ("a tab\tand\nlines", "lines"),
        ("smile 🙂", "🙂"),
        ("Straße", "STRASSE"),
        ("broken \ud800 surrogate ü", "surrogate Ü"),
        ("'; DROP TABLE convstore_message; --", "';"),
    ],
)
def test_words_in_any_script_are_found(database, content, query):
    conversation = add_messages(database, "a", "something else", content)
    assert positions(look(database, conversation, query)) == [2]
    assert positions(search_last_messages(database, query_words(query), None)) == [2]


def test_base64_and_field_names_are_not_searched(database):
    image = Message("user", [Part("image", "iVBORw0KGgo" + "hidden" * 100), Part("text", "seen")])
    conversation = add_messages(database, "a", image, text("role content type value"))
    assert positions(look(database, conversation, "hidden")) == []
    assert positions(look(database, conversation, "seen")) == [1]
    assert positions(look(database, conversation, "role")) == [2]


def test_tool_calls_are_searched_in_one_conversation(database):
    call = Message("assistant", [], {"tool_calls": [{"function": {"name": "get_weather"}}]})
    conversation = add_messages(database, "a", "Hello!", call)
    assert positions(look(database, conversation, "weather")) == [2]


def test_text_after_a_large_image_is_found_in_one_conversation(database):
    message = Message("user", [Part("image", "A" * 3_000_000), Part("text", "What is this?")])
    assert positions(look(database, add_messages(database, "a", message), "what this")) == [1]


def test_the_excerpt_is_the_text_around_the_first_word(database):
    conversation = add_messages(database, "a", "x" * 500 + " the needle\n is  here " + "y" * 500)
    (hit,) = look(database, conversation, "needle here").hits
    assert "x the needle is here y" in hit.excerpt
    assert len(hit.excerpt) < 200
    assert (hit.memory_id, hit.position, hit.role) == ("a", 1, "user")


def test_a_search_returns_where_the_next_one_continues(database):
    conversation = add_messages(database, "a", "needle", *["hay"] * MAX_MESSAGES_READ, "needle")
    first = look(database, conversation, "needle")
    assert (positions(first), first.messages, first.below) == (
        [MAX_MESSAGES_READ + 2],
        MAX_MESSAGES_READ,
        3,
    )
    second = look(database, conversation, "needle", 3)
    assert (positions(second), second.messages, second.below) == ([1], 2, None)


def test_a_result_has_at_most_one_page_of_hits(database):
    conversation = add_messages(database, "a", *["needle"] * (MAX_HITS + 10))
    first = look(database, conversation, "needle")
    assert (len(first.hits), first.below) == (MAX_HITS, 11)
    assert positions(look(database, conversation, "needle", 11)) == list(range(10, 0, -1))


def test_nothing_is_found_in_an_empty_conversation(database):
    now = datetime.now(UTC)
    empty = ConversationRow.objects.using(database).create(
        pk=conversation_key("a"), memory_id="a", created_at=now, active_at=now
    )
    assert look(database, empty, "needle", 1) == SearchResult([], 0, 1)
    assert search_last_messages(database, ["needle"], None) == SearchResult([], 0, 1)


# --- In the last messages of all ---------------------------------------------------------


def test_the_most_recently_active_conversations_are_searched_first(database):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    keys = []
    for n in range(MAX_CONVERSATIONS + 5):
        conversation = add_messages(database, f"{n}", f"needle number {n}")
        keys.append(conversation.pk)
        conversation.active_at = start + timedelta(minutes=n)
        conversation.save(using=database)
    first = search_last_messages(database, ["number"], None)
    assert first.conversations == first.messages == MAX_CONVERSATIONS
    assert first.after
    assert first.after.pk == keys[5]
    second = search_last_messages(database, ["number"], first.after)
    assert {hit.key for hit in second.hits} == set(keys[:5])
    assert second.after is None


def test_only_the_last_messages_of_a_long_conversation_are_searched(database):
    add_messages(database, "a", "needle", *["hay"] * LAST_MESSAGES)
    assert positions(search_last_messages(database, ["needle"], None)) == []
    add_messages(database, "a", "needle")
    assert positions(search_last_messages(database, ["needle"], None)) == [LAST_MESSAGES + 2]


def test_a_search_in_all_conversations_has_a_limit_of_messages(database):
    for n in range(MAX_MESSAGES_READ // LAST_MESSAGES + 3):
        add_messages(database, f"{n}", *["hay"] * (LAST_MESSAGES + 1))
    found = search_last_messages(database, ["needle"], None)
    assert found.messages == MAX_MESSAGES_READ
    assert found.conversations == MAX_MESSAGES_READ // LAST_MESSAGES
    assert found.after


def test_hits_in_all_conversations_are_newest_first_in_a_few_queries(database):
    for n in range(5):
        add_messages(database, f"{n}", "hay", f"needle {n}", "hay")
    with CaptureQueriesContext(connections[database]) as asked:
        found = search_last_messages(database, ["needle"], None)
    assert [hit.memory_id for hit in found.hits] == ["4", "3", "2", "1", "0"]
    assert len(asked) == 2


# --- By the index ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def indexed_database(postgresql: Postgres, new_database: Callable[[str], str]) -> str:
    """A database on PostgreSQL, which has the full-text index."""
    alias = database_alias(new_database("postgresql"))
    call_command("migrate", "convstore", database=alias, verbosity=0)
    return alias


@pytest.fixture
def indexed(indexed_database: str) -> Iterator[str]:
    yield indexed_database
    MessageRow.objects.using(indexed_database).all().delete()
    conversations(indexed_database).delete()


def test_the_result_is_none_without_a_word_index(database):
    has_index = connections[database].vendor == "postgresql"
    assert (search_word_index(database, ["needle"]) is not None) == has_index


def test_the_index_finds_messages_of_all_conversations(indexed):
    word = new_id().replace("-", "")
    add_messages(indexed, "a", "hay", f"The {word} lies here", *["hay"] * 2 * LAST_MESSAGES)
    add_messages(indexed, "b", f"first line\n{word}\tlast", "hay")
    found = search_word_index(indexed, [word])
    assert found
    assert [(hit.memory_id, hit.position) for hit in found.hits] == [("b", 1), ("a", 2)]
    assert (found.messages, found.conversations, found.more_hits) == (2, 2, False)
    assert positions(search_word_index(indexed, [word, "lies"])) == [2]
    assert positions(search_word_index(indexed, [word[:10]])) == []


def test_the_query_uses_the_index(indexed):
    add_messages(indexed, "a", *["hay"] * 50)
    with connections[indexed].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        match = POSTGRESQL.word_condition.format(characters=BEGINNING_CHARACTERS)
        query = f"EXPLAIN SELECT 1 FROM convstore_message WHERE {match}"  # noqa: S608
        cursor.execute(query, ["needle"])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("SET enable_seqscan = on")
    assert "message_words" in plan, plan


@pytest.mark.parametrize("query", ["text", "user content", "?!", "role value"])
def test_words_that_are_in_every_message_do_not_use_the_index(indexed, query):
    assert search_word_index(indexed, query_words(query)) is None


def test_a_field_name_is_found_only_where_a_text_contains_it(indexed):
    add_messages(indexed, "a", "the needle of this user", "the needle")
    assert positions(search_word_index(indexed, ["user", "needle"])) == [1]


def test_the_result_says_if_there_are_more_hits(indexed):
    add_messages(indexed, "a", *["needle"] * (MAX_HITS + 1))
    found = search_word_index(indexed, ["needle"])
    assert found
    assert (len(found.hits), found.more_hits) == (MAX_HITS, True)


def test_messages_of_any_size_and_kind_can_be_stored_with_the_index(indexed):
    """PostgreSQL refuses a row with too many words, so only the beginning is indexed."""
    word = new_id().replace("-", "")
    many = " ".join(f"word{n}" for n in range(400_000))
    image = Message("user", [Part("image", "aB+/" * 500_000)])
    add_messages(indexed, "a", many, image, "x" * 3_000_000, "\0\ud800", f"{word} {many}")
    assert positions(search_word_index(indexed, [word])) == [5]
    add_messages(indexed, "a", " " * BEGINNING_CHARACTERS + "toolate")
    assert positions(search_word_index(indexed, ["toolate"])) == []


def test_a_dropped_index_is_not_used(indexed):
    add_messages(indexed, "a", "the needle")
    with connections[indexed].cursor() as cursor:
        cursor.execute("ALTER INDEX message_words RENAME TO message_words_dropped")
        try:
            assert search_word_index(indexed, ["needle"]) is None
        finally:
            cursor.execute("ALTER INDEX message_words_dropped RENAME TO message_words")
    assert positions(search_word_index(indexed, ["needle"])) == [1]


def test_the_migration_and_the_search_have_the_same_expression():
    indexed = import_module("convstore.migrations.0003_words").WORDS
    condition = POSTGRESQL.word_condition.format(characters=BEGINNING_CHARACTERS)
    assert condition == f"{indexed} @@ plainto_tsquery('simple', %s)"
