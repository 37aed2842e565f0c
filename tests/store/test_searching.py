"""Search for words: in one conversation, with the index, and in the last messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore.archive import index_search, word_switch
from convstore.archive.conversations import ConversationRow, conversations
from convstore.archive.history import MessageRow
from convstore.archive.hits import MAX_HITS, MAX_HITS_OF_ONE, NEIGHBOUR_CHARACTERS, SearchResult
from convstore.archive.index_search import MAX_MATCHES, search_word_index
from convstore.archive.search import (
    LAST_MESSAGES,
    MAX_CONVERSATIONS,
    MAX_MESSAGES_READ,
    Filters,
    search_conversation,
    search_last_messages,
)
from convstore.archive.word_switch import (
    fill_step,
    make_word_index,
    turn_words_off,
    turn_words_on,
    word_status,
)
from convstore.database.postgresql import word_index
from convstore.database.url import database_alias
from convstore.database.vendors import vendor_for
from convstore.messages import JsonText, Message, Part
from convstore.store import ConversationStore, conversation_key
from convstore.words import SEARCHED_CHARACTERS, query_words
from testing.bodies import new_id
from testing.postgres import Postgres
from tests.length import times


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


def aged_conversations(database: str, contents: Sequence[str]) -> list[UUID]:
    """Conversations of one message, each active a minute after the one before; their keys."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    keys = []
    for n, content in enumerate(contents):
        conversation = add_messages(database, f"{n}", content)
        keys.append(conversation.pk)
        conversation.active_at = start + timedelta(minutes=n)
        conversation.save(using=database)
    return keys


def test_the_most_recently_active_conversations_are_searched_first(database):
    contents = ["needle", *["hay"] * (MAX_CONVERSATIONS + 3), "needle"]
    keys = aged_conversations(database, contents)
    first = search_last_messages(database, ["needle"], None)
    assert first.conversations == first.messages == MAX_CONVERSATIONS
    assert [hit.key for hit in first.hits] == [keys[-1]]
    assert first.after
    assert first.after[1] == keys[5]
    second = search_last_messages(database, ["needle"], first.after)
    assert [hit.key for hit in second.hits] == [keys[0]]
    assert (second.conversations, second.goes_on) == (5, False)


def test_a_search_goes_on_behind_a_page_of_hits_and_shows_each_once(database):
    keys = aged_conversations(database, ["needle"] * (MAX_HITS + 5))
    found: list[UUID] = []
    after = None
    goes_on = True
    while goes_on:
        result = search_last_messages(database, ["needle"], after)
        assert len(result.hits) <= MAX_HITS
        found += [hit.key for hit in result.hits]
        after, goes_on = result.after, result.goes_on
    assert found == keys[::-1]


def test_hits_are_grouped_with_the_messages_before_and_after(database):
    contents = ["first", *["needle"] * (MAX_HITS_OF_ONE + 2), "x" * 500]
    add_messages(database, "a", *contents)
    (group,) = search_last_messages(database, ["needle"], None).groups
    assert (group.memory_id, len(group.hits), group.more) == ("a", MAX_HITS_OF_ONE, 2)
    newest = group.hits[0]
    assert newest.position == MAX_HITS_OF_ONE + 3
    assert newest.before
    assert (newest.before.position, newest.before.beginning) == (newest.position - 1, "needle")
    assert newest.after
    assert newest.after.beginning == "x" * NEIGHBOUR_CHARACTERS + "…"
    conversation = conversations(database).get()
    (whole,) = look(database, conversation, "needle").groups
    assert (len(whole.hits), whole.more) == (len(contents) - 2, 0)
    (first,) = look(database, conversation, "first").hits
    assert first.before is None


def test_a_hit_says_whether_it_is_in_the_content_or_beside_it(database):
    said = Message("assistant", [Part("text", "x" * 40_000 + " one")], {"refusal": "two"})
    conversation = add_messages(database, "a", said, "one two")
    for query, expected in (
        ("one", [False, False]),
        ("two", [False, True]),
        ("two one", [False, True]),
    ):
        assert [hit.is_beside for hit in look(database, conversation, query).hits] == expected


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
    assert len(asked) == 3


# --- With filters ------------------------------------------------------------------------


def test_filters_leave_out_other_roles_and_times(database):
    conversation = add_messages(
        database, "a", text("needle 1"), Message("tool", [Part("text", "needle 2")]), "needle 3"
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for row in MessageRow.objects.using(database).all():
        row.created_at = start + timedelta(days=row.position)
        row.save(using=database)

    def found(**filters: object) -> list[list[int]]:
        wanted, words = Filters(**filters), ["needle"]  # type: ignore[arg-type]
        return [
            positions(search_conversation(database, conversation, words, 10, wanted)),
            positions(search_last_messages(database, words, None, wanted)),
        ]

    assert found() == [[3, 2, 1]] * 2
    assert found(role="tool") == [[2]] * 2
    assert found(since=start + timedelta(days=2)) == [[3, 2]] * 2
    assert found(before=start + timedelta(days=2)) == [[1], []]  # the conversation is younger
    conversations(database).update(created_at=start, active_at=start + timedelta(days=3))
    assert found(before=start + timedelta(days=2)) == [[1]] * 2
    assert found(role="user", since=start + timedelta(days=2)) == [[3]] * 2
    assert found(since=start + timedelta(days=5))[1] == []


# --- With words that were written --------------------------------------------------------


@pytest.fixture
def with_words(database: str) -> Iterator[str]:
    """A database in which new messages get words, and PostgreSQL has its index."""
    turn_words_on(database)
    fill(database)
    make_word_index(database)
    yield database
    turn_words_off(database)


def fill(database: str) -> int:
    """Fill to the end; how many rows were looked at."""
    return sum(iter(lambda: fill_step(database) or 0, 0))


def stored_words(database: str) -> list[str | None]:
    rows = MessageRow.objects.using(database).order_by("position")
    return list(rows.values_list("words", flat=True))


def searches(database: str) -> Iterator[Callable[[str], list[int]]]:
    """The three searches, each from a query to positions; two where there is no index."""

    def of_all(query: str) -> SearchResult:
        return search_last_messages(database, query_words(query))

    def of_one(query: str) -> SearchResult:
        return look(database, conversations(database).get(), query)

    def by_index(query: str) -> SearchResult:
        found = search_word_index(database, query_words(query))
        return found or of_all(query)  # for words of neither letters nor digits

    for search in (of_all, of_one, by_index):
        yield lambda query, search=search: positions(search(query))  # type: ignore[misc]


def test_words_are_written_while_they_are_on_and_filled_later(store, database):
    store.append("a", [text("Before")])
    assert stored_words(database) == [None]
    turn_words_on(database)
    store.append("a", [text("Straße 1")])
    store.append("a", [text("Ünder_score"), text("2nd")])
    store.append("a", [replace(text("counted"), tokens=3)])
    has_index = vendor_for(database).word_index is not None
    written = ["strasse 1", "under_score", "2nd", "counted"]
    terms = ["strasse 1", "under score", "2nd", "counted"]
    both = [f"{text}\n{own}" for text, own in zip(written, terms, strict=True)]
    assert stored_words(database) == [None, *(both if has_index else written)]
    assert fill(database) == 5
    assert word_status(database).filled
    assert stored_words(database)[0] == ("before\nbefore" if has_index else "before")
    turn_words_off(database)
    store.append("a", [text("After")])
    assert stored_words(database)[-1] is None


def test_filling_goes_on_where_it_was_interrupted(database, monkeypatch):
    monkeypatch.setattr(word_switch, "STEP_MESSAGES", 2)
    for n in range(3):
        add_messages(database, f"{n}", "one", "two", "three")
    turn_words_on(database)
    assert fill_step(database) == 2
    assert sum(words is not None for words in stored_words(database)) == 2
    turn_words_on(database)  # changes nothing
    assert fill(database) == 7
    assert None not in stored_words(database)
    assert fill_step(database) is None
    turn_words_off(database)


def test_a_search_finds_the_same_before_and_after_filling(database):
    body = {"tool_calls": [call(city="Zürich")], "name": "Marge"}
    add_messages(database, "a", "C:\\temp\\notes", Message("assistant", [], body))
    queries = ["notes", "temp\\no", "zurich", "get_weather", "marge", "zürich marge", "hay"]

    def found() -> list[list[int]]:
        return [positions(search_last_messages(database, query_words(q))) for q in queries]

    before = found()
    assert before == [[1], [1], [2], [2], [2], [2], []]
    turn_words_on(database)
    fill(database)
    assert found() == before
    turn_words_off(database)


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("Die Straße9 ist lang", "Straße9"),
        ("uçak İzmir9 yolcu", "İzmir9"),
        ("see C:\\temp\\notes9 please", "notes9"),
        ("second line\rthird9 end", "third9"),
        ("page one\x0cform9 two", "form9"),
        ("at https://example.org/a-b/c?d=e9#f", "e9"),
        ("write to jane.doe@example.org", "doe@example"),
        ("either and/or both", "and/or"),
        ("東京都庁へ行く", "京都"),
        ("東京都庁へ行く", "都"),
        ("ﾊﾟｰﾃｨｰ \uff21\uff22", "パーティー ab"),
        ("สวัสดีครับ", "ดีครับ"),
        ("smile 🙂 now", "🙂"),
        ("un\u00adseen so\u200bft", "unseen soft"),
        ("prefixes are found", "pref"),
        ("x" * 3_000, "x" * 150),
    ],
)
def test_each_search_finds_words_as_they_stand(with_words, content, query):
    add_messages(with_words, "a", "something else", content)
    for search in searches(with_words):
        assert search(query) == [2]


def test_calls_names_and_refusals_are_found_by_each_search(with_words):
    escaped = {"function": {"name": "f", "arguments": '{"who": "J\\u00fcrgen", "n": 1.10}'}}
    as_sent = JsonText(json.dumps(call(street="Größe")))  # letters escaped twice
    calls = [call(city="Zürich"), escaped, as_sent]
    said = {"tool_calls": calls, "name": "marge", "refusal": "I won't"}
    image = Part("image", "iVBORw0KGgo" + "hidden" * 10_000)
    add_messages(with_words, "a", "function", Message("assistant", [image], said))
    for search in searches(with_words):
        for query in ("zürich", "city", "größe", "street", "jürgen", "1.10", "marge", "I won't"):
            assert search(query) == [2], query
        assert search("get_weather") == [2]
        assert search("function") == [1]
        assert search("hidden") == []


def call(**arguments: str) -> dict[str, Any]:
    """A call of a tool in OpenAI's form, its arguments in JSON text."""
    function = {"name": "get_weather", "arguments": json.dumps(arguments)}
    return {"id": "call_1", "type": "function", "function": function}


@pytest.mark.soak
@given(said=st.text(st.characters() | st.sampled_from("aé ß.-/_\n東京กา🙂\u0301"), max_size=60))
@settings(max_examples=times(30, soak=1_000), suppress_health_check=list(HealthCheck))
def test_any_word_of_any_text_is_found_by_each_search(with_words, said):
    MessageRow.objects.using(with_words).all().delete()
    conversations(with_words).delete()
    add_messages(with_words, "a", said)
    for search in searches(with_words):
        for word in said.split():
            if query_words(word):
                assert search(word) == [1], word


# --- By the index ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def indexed_database(postgresql: Postgres, new_database: Callable[[str], str]) -> str:
    """A database on PostgreSQL that has the index of words."""
    alias = database_alias(new_database("postgresql"))
    call_command("migrate", "convstore", database=alias, verbosity=0)
    turn_words_on(alias)
    fill(alias)
    make_word_index(alias)
    return alias


@pytest.fixture
def indexed(indexed_database: str) -> Iterator[str]:
    yield indexed_database
    MessageRow.objects.using(indexed_database).all().delete()
    conversations(indexed_database).delete()


def test_the_result_is_none_without_an_index(database):
    assert search_word_index(database, ["needle"]) is None


def test_the_index_finds_messages_of_all_conversations(indexed):
    word = new_id().replace("-", "")
    add_messages(indexed, "a", "hay", f"The {word} lies here", *["hay"] * 2 * LAST_MESSAGES)
    add_messages(indexed, "b", f"first line\n{word}\tlast", "hay")
    found = search_word_index(indexed, [word])
    assert found
    assert [(hit.memory_id, hit.position) for hit in found.hits] == [("b", 1), ("a", 2)]
    assert (found.messages, found.conversations, found.is_cut) == (2, 2, False)
    assert positions(search_word_index(indexed, [word, "lies"])) == [2]
    assert positions(search_word_index(indexed, [word[:10]])) == [1, 2]
    assert positions(search_word_index(indexed, [word[1:]])) == []
    assert positions(search_word_index(indexed, [word], Filters(role="tool"))) == []


def test_the_query_uses_the_index(indexed):
    add_messages(indexed, "a", *["hay"] * 50)
    with connections[indexed].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        query = f"EXPLAIN SELECT 1 FROM convstore_message WHERE {word_index.CONDITION}"  # noqa: S608
        cursor.execute(query, [word_index.query(["needle"], ["be"])])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("SET enable_seqscan = on")
    assert word_index.NAME in plan, plan


def test_the_hits_of_the_index_go_on(indexed):
    add_messages(indexed, "a", *["needle"] * (2 * MAX_HITS + 1))
    found: list[int] = []
    skip: int | None = 0
    while skip is not None:
        result = search_word_index(indexed, ["needle"], skip=skip)
        assert result
        found += positions(result)
        skip = result.skip
    assert found == list(range(2 * MAX_HITS + 1, 0, -1))


@pytest.mark.parametrize("filters", [Filters(), Filters(role="user"), Filters(role="tool")])
def test_frequent_words_are_found_without_the_index_as_with_it(indexed, monkeypatch, filters):
    add_messages(indexed, "a", *["hay", "needle", "pineedle"] * 4)
    add_messages(indexed, "b", Message("tool", [Part("text", "needle")]), "needle")
    monkeypatch.setattr(index_search, "MAX_MATCHES", 20)
    by_index = search_word_index(indexed, ["needle"], filters)
    assert by_index
    monkeypatch.setattr(index_search, "MAX_MATCHES", 4)
    with CaptureQueriesContext(connections[indexed]) as queries:
        found = search_word_index(indexed, ["needle"], filters)
    assert found
    statements = "".join(query["sql"] for query in queries)
    if filters.role == "tool":
        assert "found AS MATERIALIZED" in statements
        assert found == by_index
    else:
        assert "found AS MATERIALIZED" not in statements
        assert (found.messages, found.is_cut) == (4, True)
        assert {hit.position for hit in found.hits} <= {hit.position for hit in by_index.hits}


@pytest.mark.parametrize("query", ["gold needle", "needle gold", "gold needle -"])
def test_frequent_words_beside_a_rare_one_are_looked_for_where_that_is(indexed, monkeypatch, query):
    rare = ("gold - needle", "gold - pineedle", "gold - hay")
    add_messages(indexed, "a", *["a - needle"] * 3, *rare)
    assert positions(search_word_index(indexed, query.split())) == [4]
    monkeypatch.setattr(index_search, "MAX_MATCHES", 3)
    monkeypatch.setattr(index_search, "SMALLER", 1)
    with CaptureQueriesContext(connections[indexed]) as queries:
        assert positions(search_word_index(indexed, query.split())) == [4]
    (statement,) = (query["sql"] for query in queries if "WITH found" in query["sql"])
    by_index, by_filter = statement.split("@@")[1:]
    assert ("gold" in by_index, "needle" in by_index, "needle" in by_filter) == (True, False, True)


def test_the_result_says_if_the_index_has_more_than_was_read(indexed):
    add_messages(indexed, "a", *["needle"] * (MAX_MATCHES + 1))
    result = search_word_index(indexed, ["needle"])
    assert result
    assert (result.messages, result.is_cut) == (MAX_MATCHES, True)


def test_messages_that_were_moved_from_a_database_without_an_index_get_terms(indexed):
    add_messages(indexed, "a", "the needle")
    MessageRow.objects.using(indexed).update(words="the needle")
    assert positions(search_word_index(indexed, ["needle"])) == []
    turn_words_off(indexed)
    turn_words_on(indexed)
    fill(indexed)
    make_word_index(indexed)
    assert positions(search_word_index(indexed, ["needle"])) == [1]


def test_messages_of_any_size_and_kind_can_be_stored_with_the_index(indexed):
    """PostgreSQL refuses a row with too many words, so only the beginning is indexed."""
    word = new_id().replace("-", "")
    many = " ".join(f"word{n}" for n in range(400_000))
    image = Message("user", [Part("image", "aB+/" * 500_000)])
    add_messages(indexed, "a", many, image, "x" * 3_000_000, "\0\ud800", f"{word} {many}")
    scripts = "".join(map(chr, (*range(1, 0xD800), *range(0xE000, 0x30000))))
    for start in range(0, len(scripts), SEARCHED_CHARACTERS):
        add_messages(indexed, "b", scripts[start : start + SEARCHED_CHARACTERS])
    assert positions(search_word_index(indexed, [word])) == [5]
    add_messages(indexed, "a", "x" * SEARCHED_CHARACTERS + " toolate")
    assert positions(search_word_index(indexed, ["toolate"])) == []


def test_an_unfinished_index_is_not_used_and_is_made_anew(indexed):
    add_messages(indexed, "a", "the needle")
    with connections[indexed].cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass",
            [word_index.NAME],
        )
    assert search_word_index(indexed, ["needle"]) is None
    assert word_status(indexed).index == "an unfinished index"
    make_word_index(indexed)
    assert word_status(indexed).index == "an index"
    assert positions(search_word_index(indexed, ["needle"])) == [1]


def test_the_index_is_made_beside_writers(indexed):
    add_messages(indexed, "a", "the needle")
    word_index.drop(connections[indexed])
    writer = connections[indexed].copy()
    writer.set_autocommit(False)
    with writer.cursor() as cursor:
        cursor.execute("UPDATE convstore_message SET role = role")
    with ThreadPoolExecutor(1) as threads:
        made = threads.submit(made_in_thread, indexed)
        while word_status(indexed).index == "no index":
            pass
        # It waits for the transaction that has written, and nobody waits for it.
        ConversationStore(indexed).append("b", [text("another needle")])
        assert not made.done()
        assert word_status(indexed).index == "an index that is being made"
        for change in (make_word_index, turn_words_off):
            with pytest.raises(OperationalError, match="another command is making the index"):
                change(indexed)
        writer.commit()
        made.result()
    writer.close()
    assert positions(search_word_index(indexed, ["needle"])) == [1, 1]


def made_in_thread(database: str) -> None:
    try:
        make_word_index(database)
    finally:
        connections[database].close()
