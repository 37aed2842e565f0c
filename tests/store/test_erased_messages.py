"""An erased message keeps its row, and nobody sees it; one that is not in windows, people do."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F

from convstore.archive.conversations import (
    ConversationRow,
    conversation_with_key,
    conversations,
    conversations_with_keys,
    with_summary,
)
from convstore.archive.erasure import ErasureResult, erase
from convstore.archive.history import History, MessageRow
from convstore.archive.overview import read_overview
from convstore.archive.search import search_conversation, search_last_messages
from convstore.errors import RequestKeyReused
from convstore.exchange.statements import StoredMessage
from convstore.messages import Message, Part
from convstore.models import Kind
from convstore.store import ConversationStore, conversation_key
from convstore.windows import ALL, MESSAGES, UNITS, WindowOptions
from inspection.export import FORMATS, file_chunks
from memory_api import contract, v2
from memory_api.memory import Memory
from memory_api.windows import window_options
from testing.bodies import read_request

KEY = conversation_key("a")


def say(text: str, role: str = "user") -> Message:
    return Message(role, (Part("text", text),))


def texts(window: list[StoredMessage]) -> list[str]:
    return [json.loads(message.body)["content"][0]["value"] for message in window]


def mark(using: str, kind: Kind, *positions: int) -> None:
    """Make rows of this kind, as a later version does when it erases a message."""
    rows = MessageRow.objects.using(using).filter(conversation_id=KEY, position__in=positions)
    assert rows.update(kind=kind) == len(positions)
    if kind == Kind.ERASED:
        rows.update(role="", body="secret", fingerprint=UUID(int=0))
        found = ConversationRow.objects.using(using).filter(pk=KEY)
        found.update(erased=F("erased") + len(positions), changes=F("changes") + 1)


@pytest.fixture
def filled(store: ConversationStore) -> ConversationStore:
    store.append("a", [say("1", "system"), *(say(str(n)) for n in range(2, 9))])
    return store


@pytest.mark.parametrize("kind", [Kind.ERASED, Kind.NOT_IN_WINDOWS])
@pytest.mark.parametrize("max_bytes", [2**25, 2000])  # a fiftieth of 2,000 is less than a message
def test_a_window_leaves_it_out_and_is_as_long_as_ever(filled, settings, kind, max_bytes):
    settings.MAX_REPLY_BYTES = max_bytes
    mark(filled.using, kind, 4, 6, 8)
    assert texts(filled.window("a", 2)) == ["1", "7"]
    assert texts(filled.window("a", 4)) == ["1", "3", "5", "7"]
    assert texts(filled.window("a", 5)) == ["1", "2", "3", "5", "7"]
    assert texts(filled.window("a", 50)) == ["1", "2", "3", "5", "7"]
    assert texts(filled.exchange("a", [say("9")], 3)) == ["1", "7", "9"]
    assert [message.position for message in filled.window("a", 3)] == [1, 7, 9]


@pytest.mark.parametrize("kind", [Kind.ERASED, Kind.NOT_IN_WINDOWS])
def test_a_first_message_that_is_left_out_is_not_pinned_and_has_no_successor(store, kind):
    store.append("a", [say("1", "system"), say("2", "system"), say("3"), say("4")])
    mark(store.using, kind, 1)
    assert texts(store.window("a", 2)) == ["3", "4"]
    assert texts(store.exchange("a", [say("5")], 2)) == ["4", "5"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("tokens", [None, 1000])
def test_a_window_of_all_items_leaves_out_only_what_is_erased(filled, unit, tokens):
    mark(filled.using, Kind.NOT_IN_WINDOWS, 4, 6)
    mark(filled.using, Kind.ERASED, 7)

    def wanted(size: int) -> WindowOptions:
        return WindowOptions(size, unit, tokens, items=ALL)

    assert texts(filled.window("a", wanted(4))) == ["1", "5", "6", "8"]
    assert texts(filled.window("a", wanted(50))) == ["1", "2", "3", "4", "5", "6", "8"]
    thought = replace(say("9", "assistant"), in_windows=False)
    key = conversation_key("key")
    for _ in range(2):
        assert texts(filled.exchange("a", [thought], wanted(3), key)) == ["1", "8", "9"]
    assert texts(filled.exchange("a", [say("10")], wanted(3))) == ["1", "9", "10"]
    assert texts(filled.window("a", replace(wanted(3), items=MESSAGES))) == ["1", "8", "10"]


def test_a_memory_says_which_items_its_windows_hold(filled):
    mark(filled.using, Kind.NOT_IN_WINDOWS, 8)
    request = v2.parse(read_request("a"))
    for items, expected in ((MESSAGES, ["7"]), (ALL, ["8"])):
        memory = Memory(name="m", window_size=1, window_items=items, store=filled)
        assert texts(filled.window("a", window_options(memory, request))) == expected
        shown = contract.metadata(memory)["parameters"].get("window_items", MESSAGES)
        assert shown == items


def test_a_window_of_erased_messages_only_is_empty_and_positions_go_on(filled):
    mark(filled.using, Kind.ERASED, *range(1, 9))
    assert filled.window("a", 3) == []
    assert filled.append("a", [say("9")]) == 9


def test_a_request_sent_again_is_answered_although_its_messages_are_erased(store):
    key = conversation_key("key")
    store.exchange("a", [say("1"), say("2")], 3, key)
    store.append("a", [say("3")])
    mark(store.using, Kind.ERASED, 1, 2)
    assert store.exchange("a", [say("1"), say("2")], 3, key) == []
    # Erasure overwrites the fingerprint, so nobody can say that these are others.
    assert store.exchange("a", [say("4"), say("5")], 3, key) == []
    with pytest.raises(RequestKeyReused):
        store.exchange("a", [say("1"), say("2"), say("6")], 3, key)
    assert texts(store.window("a", 3)) == ["3"]


@pytest.mark.parametrize("deleted", [1, 2])
def test_a_request_of_which_a_part_was_deleted_is_known_until_all_of_it_is(
    store, monkeypatch, deleted
):
    monkeypatch.setattr("convstore.archive.erasure.BATCH", deleted)
    key, request = conversation_key("key"), [say("1"), say("2"), say("3")]
    for options in (3, WindowOptions(3, tokens=1000)):
        store.exchange("a", request, options, key)
        store.append("a", [say("4")])
        assert erase(store.using, KEY, 0) == ErasureResult(deleted, gone=False)

        left = store.exchange("a", request, options, key)

        assert texts(left) == ["1", "2", "3"][deleted:]
        assert [message.position for message in left] == [1, 2, 3][deleted:]
        others = [[say("1"), say("2"), say("x")], [*request, say("4")]]
        if deleted == 1:  # a shorter request would not reach a key that is left
            others += [request[:2], request[1:]]
        for other in others:
            with pytest.raises(RequestKeyReused):
                store.exchange("a", other, options, key)
        assert [message.position for message in store.window("a", 9)] == [1, 2, 3, 4][deleted:]
        assert erase(store.using, KEY, 60).gone
    assert texts(store.exchange("a", request, 3, key)) == ["1", "2", "3"]


def test_people_do_not_read_it_and_count_without_it(filled):
    database = filled.using
    mark(database, Kind.ERASED, 1, 2, 5, 8)
    mark(database, Kind.NOT_IN_WINDOWS, 7)
    history = History(database, KEY)
    assert [row.position for row in history.chunk_from(1)] == [3, 4, 6, 7]
    assert [row.position for row in history.chunk_up_to(8, 2)] == [6, 7]
    assert [row.position for chunk in history.chunks(8, 2) for row in chunk] == [3, 4, 6, 7]
    assert history.message(5) is None
    found: Any = conversation_with_key(database, KEY)
    assert (found.length, found.message_count) == (8, 4)
    assert (found.oldest, found.newest) == (3, 7)
    rows: list[Any] = conversations_with_keys(database, [KEY])
    assert [row.message_count for row in rows] == [4]
    assert read_overview(database).messages.value == 4
    summary: Any = with_summary(conversations(database), opening=True).get()
    assert (summary.length, summary.message_count) == (8, 4)
    assert (summary.opening, summary.closing) == (None, say("7").to_json())


def exported(using: str, conversation: ConversationRow, name: str) -> bytes:
    """The file, or what is in it."""
    data = b"".join(file_chunks(using, [conversation], FORMATS[name]))
    if not FORMATS[name].is_compressed:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(map(archive.read, archive.namelist()))


@pytest.mark.parametrize("name", FORMATS)
def test_no_export_has_it(filled, name):
    conversation = ConversationRow.objects.using(filled.using).get()
    before = exported(filled.using, conversation, name)
    mark(filled.using, Kind.ERASED, 4)
    after = exported(filled.using, conversation, name)
    assert b"secret" not in after
    assert 0 < len(after) < len(before)


def test_no_search_finds_it(filled):
    mark(filled.using, Kind.ERASED, 4)
    conversation = ConversationRow.objects.using(filled.using).get()
    for word, hits in (("secret", []), ("3", [3])):
        found = search_conversation(filled.using, conversation, [word], 9).hits
        assert [hit.position for hit in found] == hits
        found = search_last_messages(filled.using, [word], None).hits
        assert [hit.position for hit in found] == hits


def test_a_conversation_is_deleted_with_its_erased_messages(filled, monkeypatch):
    monkeypatch.setattr("convstore.archive.erasure.BATCH", 3)
    mark(filled.using, Kind.ERASED, 2, 5)
    assert erase(filled.using, KEY, 0) == ErasureResult(2, gone=False)
    found: Any = conversation_with_key(filled.using, KEY)
    assert (found.erased, found.message_count) == (1, 4)
    assert erase(filled.using, KEY, 60) == ErasureResult(4, gone=True)
    assert not MessageRow.objects.using(filled.using).exists()
