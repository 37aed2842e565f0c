"""Reading from each database: summaries, chunks of messages, positions by time."""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from convstore.archive import lists
from convstore.archive.conversations import (
    ConversationRow,
    conversation_with_key,
    conversations,
    conversations_with_keys,
    find_by_memory_id,
    newer_rows,
    of_tenant,
    older_rows,
    with_prefix,
    with_summary,
)
from convstore.archive.history import CHUNK_BYTES, CHUNK_MESSAGES, History, MessageRow
from convstore.database.vendors import vendor_for
from convstore.messages import Message, Part, parts_in
from convstore.store import ConversationStore, conversation_key

START = datetime(2026, 1, 1, tzinfo=UTC)


def text(value: str, role: str = "user") -> Message:
    return Message(role, [Part("text", value)])


def conversation(database: str, memory_id: str, *messages: Message) -> History:
    if messages:
        ConversationStore(database).append(memory_id, messages)
    return History(database, conversation_key(memory_id))


def figures(database: str, memory_id: str, *, opening: bool = True) -> Any:
    rows = conversations(database).filter(pk=conversation_key(memory_id))
    return with_summary(rows, opening=opening).get()


# --- Lists -------------------------------------------------------------------------------


def test_a_summary_has_the_length_the_last_message_and_the_opening(database):
    conversation(database, "a", text("Be kind.", "system"), text("Hello!"), text("Hi", "assistant"))
    found = figures(database, "a")
    assert found.length == 3
    assert found.last_message_at == History(database, found.pk).chunk_up_to(3)[-1].created_at
    assert [part.value for part in parts_in(found.opening)] == ["Hello!"]
    assert [part.value for part in parts_in(found.closing)] == ["Hi"]


def test_a_conversation_with_only_a_pinned_message_opens_with_it(database):
    conversation(database, "a", text("Be kind.", "developer"))
    assert [part.value for part in parts_in(figures(database, "a").opening)] == ["Be kind."]


def test_the_opening_is_read_only_on_request(database):
    conversation(database, "a", text("Hello!"))
    with CaptureQueriesContext(connections[database]) as asked:
        found = figures(database, "a", opening=False)
    assert not hasattr(found, "opening")
    assert not hasattr(found, "closing")
    assert "body" not in asked[0]["sql"]


def test_the_summary_of_an_empty_conversation_is_empty(database):
    now = datetime.now(UTC)
    ConversationRow.objects.using(database).create(
        pk=conversation_key("a"), memory_id="a", created_at=now, active_at=now
    )
    found = figures(database, "a")
    assert (found.length, found.last_message_at, found.opening, found.closing) == (None,) * 4


IDS = ["abc", "abC", "ab", "abd", "äbc", "ab%", "ab_c", "ab\\", "ab🙂", "ab ", "b"]


@pytest.mark.parametrize("prefix", ["ab", "abc", "ä", "ab%", "ab_", "ab\\", "ab🙂", "ab ", "x"])
def test_prefix_search_distinguishes_similar_letters(database, prefix):
    for memory_id in IDS:
        conversation(database, memory_id, text("Hello!"))
    found = with_prefix(conversations(database), prefix)
    assert {row.memory_id for row in found} == {each for each in IDS if each.startswith(prefix)}


def test_search_by_id_has_the_exact_match_first_and_keeps_its_limit(database):
    for memory_id in IDS:
        conversation(database, memory_id, text("Hello!"))

    def found(query: str, limit: int) -> list[str]:
        rows, _ = find_by_memory_id(conversations(database), query, conversation_key(query), limit)
        return [row.memory_id for row in rows]

    assert found("ab", 50) == sorted(each for each in IDS if each.startswith("ab"))
    assert found("abC", 50) == ["abC"]
    assert found("ab", 1) == ["ab"]
    assert found("abx", 50) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_a_search_by_id_goes_on_after_each_page_and_shows_each_match_once(database, limit):
    ids = [*IDS, *(f"ab{end}" for end in (" ", "  ", "~", "É", "\U0001f600", "-1", "-10", "-2"))]
    for memory_id in ids:
        conversation(database, memory_id, text("Hello!"))
    found, after = [], None
    while True:
        rows = conversations(database)
        page, after = find_by_memory_id(rows, "ab", conversation_key("ab"), limit, after)
        assert len(page) <= limit
        found += [row.memory_id for row in page]
        if after is None:
            break
    assert found[0] == "ab"
    assert sorted(found) == sorted({each for each in ids if each.startswith("ab")})


def test_a_conversation_is_found_by_its_key_with_its_counts(database):
    conversation(database, "b", text("Hello!"))
    history = conversation(database, "a", *(text(str(n)) for n in range(5)))
    history.rows().filter(position__lte=2).delete()
    found: Any = conversation_with_key(database, history.key)
    assert (found.memory_id, found.length, found.message_count) == ("a", 5, 3)
    assert conversation_with_key(database, conversation_key("x")) is None
    keys = [conversation_key(each) for each in ("b", "x", "a")]
    both: Any = conversations_with_keys(database, keys)
    assert [(row.memory_id, row.message_count) for row in both] == [("a", 3), ("b", 1)]


def users(database: str) -> Any:
    """The rows of the database, which are 3,000 conversations now, of user-0 to user-2999."""
    rows = ConversationRow.objects.using(database)
    now = datetime.now(UTC)
    rows.bulk_create(
        ConversationRow(pk=conversation_key(f"user-{n}"), memory_id=f"user-{n}", created_at=now,
                     active_at=now)
        for n in range(3000)
    )  # fmt: skip
    analyze(database)
    return rows


def test_prefix_search_uses_an_index(database):
    rows = users(database)
    plan = with_prefix(rows.all(), "user-2345").explain()
    assert "conversation_memory_id" in plan, plan


def test_a_page_of_a_prefix_search_is_read_in_the_order_of_the_index(database):
    """Not sorted: of the 3,000 that match, it reads a page."""
    rows = users(database)
    after = "user-1500", conversation_key("user-1500")
    with CaptureQueriesContext(connections[database]) as queries:
        page, _ = find_by_memory_id(rows.all(), "user-", conversation_key("user-"), 50, after)
    assert page[0].memory_id == "user-1501"
    plan = plan_of(database, queries[0]["sql"])
    assert "conversation_memory_id" in plan, plan


def plan_of(database: str, statement: str) -> str:
    with connections[database].cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN " if connections[database].vendor == "sqlite" else "EXPLAIN "
        cursor.execute(explain + statement.replace("%", "%%"))
        return str(cursor.fetchall())


@pytest.mark.parametrize("order", [lists.NEWEST, lists.OLDEST, lists.LAST_ACTIVE])
def test_a_tenants_list_reads_an_index_of_its_own_conversations(database, order):
    rows = ConversationRow.objects.using(database)
    ids = [f"{'rare' if n % 500 == 0 else 'many'}/{n}" for n in range(3000)]
    times = [START + timedelta(seconds=n) for n in range(3000)]
    rows.bulk_create(
        ConversationRow(pk=conversation_key(own), memory_id=own, created_at=at, active_at=at)
        for own, at in zip(ids, times, strict=True)
    )
    analyze(database)
    expected = sorted(range(0, 3000, 500), reverse=order.newest_first)
    found: list[str] = []
    for after in (None, rows.get(memory_id=f"rare/{expected[2]}")):
        with CaptureQueriesContext(connections[database]) as queries:
            page = lists.list_conversations(database, order, after, 3, lambda row: True, "rare/")
        found += [row.memory_id for row in page]
        plan = plan_of(database, queries[0]["sql"])
        if vendor_for(database).of_tenant:
            assert f"conversation_tenant_{order.field.removesuffix('_at')}" in plan, plan
    assert found == [f"rare/{n}" for n in expected]


OF_ACME = {"acme/1", "acme/", "acme/b/c", "acme/ ", "acme/É"}
OF_OTHERS = {
    "acme",
    "Acme/1",
    "ácme/1",
    "acme-2/1",
    "acme\uff0f1",
    "b/acme/1",
    "/acme/1",
    " acme/1",
}


def test_the_beginning_of_an_id_is_its_tenant_and_no_other_is(database):
    longest = "a" * 63
    for memory_id in (*OF_ACME, *OF_OTHERS, f"{longest}/1", f"{longest}a/1"):
        conversation(database, memory_id, text("Hello!"))
    found = of_tenant(conversations(database), "acme/")
    assert {row.memory_id for row in found} == OF_ACME
    assert [row.memory_id for row in of_tenant(conversations(database), f"{longest}/")] == [
        f"{longest}/1"
    ]


def analyze(database: str) -> None:
    vendor = connections[database].vendor
    with connections[database].cursor() as cursor:
        if vendor == "mysql":
            cursor.execute("ANALYZE TABLE convstore_conversation")
        elif vendor in ("postgresql", "sqlite"):
            cursor.execute("ANALYZE")


def test_pages_are_complete_in_both_directions_even_with_equal_times(database):
    rows = ConversationRow.objects.using(database)
    keys = [conversation_key(str(n)) for n in range(20)]
    rows.bulk_create(
        ConversationRow(pk=key, memory_id=str(n), created_at=START + timedelta(days=n // 5),
                     active_at=START)
        for n, key in enumerate(keys)
    )  # fmt: skip
    ordered = list(rows.order_by("-created_at", "-pk"))
    for n, row in enumerate(ordered):
        following = older_rows(rows.all(), "created_at", row.created_at, row.pk)
        assert list(following.order_by("-created_at", "-pk")) == ordered[n + 1 :]
        preceding = newer_rows(rows.all(), "created_at", row.created_at, row.pk)
        assert list(preceding.order_by("-created_at", "-pk")) == ordered[:n]


# --- One conversation --------------------------------------------------------------------


def test_a_chunk_begins_or_ends_at_the_given_position(database):
    history = conversation(database, "a", *(text(str(n)) for n in range(1, 121)))

    def ends(chunk):
        return chunk[0].position, chunk[-1].position

    assert history.length() == 120
    assert ends(history.chunk_up_to(120)) == (120 - CHUNK_MESSAGES + 1, 120)
    assert ends(history.chunk_up_to(70)) == (70 - CHUNK_MESSAGES + 1, 70)
    assert ends(history.chunk_up_to(3)) == (1, 3)
    assert ends(history.chunk_from(1)) == (1, CHUNK_MESSAGES)
    assert ends(history.chunk_from(101)) == (101, 120)
    assert [row.position for row in history.chunk_up_to(70)] == list(range(21, 71))
    assert history.chunk_from(121) == []
    assert history.chunk_up_to(0) == []


def test_an_unknown_conversation_has_no_messages(database):
    history = History(database, conversation_key("nobody"))
    assert (history.length(), history.chunk_up_to(10), history.message(1)) == (0, [], None)
    assert list(history.chunks(0, 10)) == []
    assert history.position_at(START, 0) == 1


def test_one_message_is_read_as_it_is_stored(database):
    message = Message("tool", [Part("text", "\0\ud800é🙂")], {"tool_call_id": "x"})
    history = conversation(database, "a", text("Hello!"), message)
    row = history.message(2)
    assert row
    assert (row.position, row.role, row.body) == (2, "tool", message.to_json())
    assert history.message(3) is None


def test_a_chunk_keeps_its_byte_limit_but_always_has_a_message(database):
    large = Message("user", [Part("image", "A" * (CHUNK_BYTES // 3))])
    too_large = Message("user", [Part("image", "A" * (CHUNK_BYTES + 1))])
    history = conversation(database, "a", large, large, large, text("Hello!"), too_large)
    assert [row.position for row in history.chunk_from(1)] == [1, 2]
    assert [row.position for row in history.chunk_up_to(4)] == [2, 3, 4]
    assert [row.position for row in history.chunk_up_to(5)] == [5]
    assert [[row.position for row in chunk] for chunk in history.chunks(5, 100)] == [
        [1, 2],
        [3, 4],
        [5],
    ]


def test_chunks_end_at_the_given_length_even_if_messages_are_added(database):
    history = conversation(database, "a", *(text(str(n)) for n in range(25)))
    chunks = history.chunks(history.length(), 10)
    first = next(chunks)
    conversation(database, "a", text("later"))
    positions = [entry.position for chunk in (first, *chunks) for entry in chunk]
    assert positions == list(range(1, 26))


def by_the_minute(database: str, length: int) -> History:
    """A conversation with `length` messages, one every minute."""
    history = conversation(database, "by the minute", text("the first"))
    (first,) = history.rows()
    first.created_at = minute(1)
    history.rows().delete()
    rows = [copy(first) for _ in range(length)]
    for position, row in enumerate(rows, 1):
        row.position, row.created_at, row.request_key = position, minute(position), uuid4()
    MessageRow.objects.using(database).bulk_create(rows)
    return history


def minute(n: int) -> datetime:
    return START + timedelta(minutes=n)


def test_a_position_is_found_by_time_in_a_few_queries(database):
    history = by_the_minute(database, 1000)
    for n in (1, 2, 8, 9, 127, 128, 129, 500, 997, 999, 1000):
        with CaptureQueriesContext(connections[database]) as asked:
            assert history.position_at(minute(n), 1000) == n
        assert len(asked) <= 2
        assert history.position_at(minute(n) - timedelta(seconds=1), 1000) == n
        assert history.position_at(minute(n) + timedelta(seconds=1), 1000) == n + 1
    assert history.position_at(START - timedelta(days=1), 1000) == 1
    assert history.position_at(START + timedelta(days=99), 1000) == 1001


def test_deleted_messages_at_the_beginning_are_skipped(database):
    history = by_the_minute(database, 600)
    history.rows().filter(position__lte=333).delete()
    assert history.position_at(START, 600) == 334
    assert history.position_at(minute(400), 600) == 400
    assert history.chunk_from(1)[0].position == 334


# --- The beginning of a message's JSON -----------------------------------------------------


@given(st.text(), st.lists(st.tuples(st.text(max_size=9), st.text())), st.integers(0, 400))
def test_parts_are_read_from_json_that_is_cut_off(role, parts, cut):
    message = Message(role, [Part(*part) for part in parts])
    found = list(parts_in(message.to_json()[:cut]))
    assert len(found) <= len(parts)
    for n, (part, whole) in enumerate(zip(found, message.parts, strict=False), 1):
        assert part.type == whole.type
        assert part == whole if n < len(found) else begins(whole.value, part.value)
    assert list(parts_in(message.to_json())) == list(message.parts)


def begins(whole: str, cut: str) -> bool:
    """Whether `cut` is a beginning of `whole`; it may end in the middle of a surrogate pair."""
    units = "utf-16-le", "surrogatepass"
    return whole.encode(*units).startswith(cut.encode(*units))


@given(st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_a_message_is_restored_from_its_json(role, parts):
    message = Message(role, [Part(*part) for part in parts], {"tool_call_id": "x"})
    assert Message.from_json(message.to_json()) == message
