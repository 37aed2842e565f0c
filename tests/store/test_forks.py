"""Forks over each database: a new conversation with the items of another one, up to one of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.db import connections

from api_keys.caller import Caller
from convstore.archive import copying, erasure, forks
from convstore.archive.conversations import conversations
from convstore.archive.word_switch import turn_words_off, turn_words_on
from convstore.messages import Message, Part
from convstore.models import Conversation, ItemId, Kind
from convstore.store import conversation_key
from tests.store.conversations_client import (
    ANSWER,
    CALL,
    REASONING,
    TEXT,
    Client,
    Reply,
    all_items,
    key,
    rows_of,
    said,
    tag_of,
    texts,
    use,
)


@pytest.fixture
def source(client: Client, conversation: str) -> str:
    """A conversation of eight rows, of which one is erased and one has four items."""
    path = f"{conversation}/items"
    calls = [{**CALL, "call_id": f"c{n}"} for n in range(3)]
    turn = [{**TEXT, "role": "assistant"}, calls[0], {**calls[1], "id": "fc_mine"}, calls[2]]
    client.post(path, {"items": [said("1"), {**said("2"), "id": "mine"}, said("3"), REASONING]})
    client.post(path, {"items": [said("5"), *turn, ANSWER, said("8")]})
    erased = client.get(f"{path}?order=asc").document["data"][2]["id"]
    assert client.delete(f"{path}/{erased}").status == 200
    return conversation


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "BATCH", 3)


def fork(client: Client, source: str, document: Any = None, **more: str) -> Reply:
    return client.post(f"{source}/fork", document, **more)


def path_of(reply: Reply) -> str:
    assert reply.status == 200, reply.document
    return f"/{reply.document['id']}"


# --- What a fork holds -------------------------------------------------------------------


def test_a_fork_has_the_same_items_at_the_same_places_and_goes_its_own_way(client, source):
    items = all_items(client, source)
    reply = fork(client, source, {"metadata": {"title": "Again"}})
    copy = path_of(reply)
    pairs = {"title": "Again", "forked_from": source[1:], "forked_at": "8"}
    assert reply.document["metadata"] == pairs
    assert client.get(copy).document == reply.document
    assert all_items(client, copy) == items
    assert [item["position"] for item in items] == [1, 2, 4, 5, 6, 6, 6, 6, 7, 8]
    for item in items:
        assert client.get(f"{copy}/items/{item['id']}").document == item
    counts = conversations(client.store.using).values_list("erased", flat=True)
    assert list(counts) == [1, 1]
    (listed,) = client.get(f"?metadata[forked_from]={source[1:]}").document["data"]
    assert listed == reply.document

    added = client.post(f"{copy}/items", {"items": [said("here")]}).document["data"]
    client.post(f"{source}/items", {"items": [said("there")]})
    client.delete(f"{copy}/items/{items[0]['id']}")
    assert all_items(client, copy) == [*items[1:], *added]
    assert texts(all_items(client, source)[-1:]) == ["there"]
    assert client.delete(source).status == 200
    assert all_items(client, copy) == [*items[1:], *added]


def columns(client: Client, path: str) -> list[dict[str, Any]]:
    return [{name: getattr(row, name) for name in copying.COPIED} for row in rows_of(client, path)]


def test_rows_are_copied_whole(client, source):
    copy = path_of(fork(client, source))
    assert columns(client, copy) == columns(client, source)


def test_a_fork_ends_in_any_item_also_within_a_message(client, source):
    items = all_items(client, source)
    for n, item in enumerate(items):
        copy = path_of(fork(client, source, {"up_to": item["id"]}))
        assert all_items(client, copy) == items[: n + 1]
        for left_out in items[n + 1 :]:
            assert client.get(f"{copy}/items/{left_out['id']}").status == 404
    copy = path_of(fork(client, source, {"up_to": items[5]["id"]}))
    assert "c1" not in rows_of(client, copy)[-1].body
    # An id that did not come along is given again; one that did is not.
    answer = client.post(f"{copy}/items", {"items": [{**said("x"), "id": "fc_mine"}]})
    assert answer.status == 200
    answer = client.post(f"{copy}/items", {"items": [{**said("x"), "id": "mine"}]})
    assert answer.status == 400


def test_a_fork_ends_in_a_position_with_all_of_its_items(client, source):
    items = all_items(client, source)
    copy = path_of(fork(client, source, {"up_to": 6}))
    assert all_items(client, copy) == items[:8]
    assert client.get(copy).document["metadata"]["forked_at"] == "6"


def test_a_fork_of_nothing_is_empty(client, conversation):
    copy = path_of(fork(client, conversation))
    assert client.get(f"{copy}/items").document["data"] == []


def test_a_window_of_a_fork_is_that_of_its_source(client, source):
    copy = path_of(fork(client, source))
    window, same = (client.store.window(each[1:], 10) for each in (source, copy))
    assert window == same
    client.store.append(copy[1:], [Message("user", (Part("text", "next"),))])
    assert [row.position for row in client.store.window(copy[1:], 1)] == [9]


def test_words_are_copied_or_made(client, source):
    using = client.store.using
    turn_words_on(using)
    try:
        client.post(f"{source}/items", {"items": [said("Found")]})
        copy = path_of(fork(client, source))
        words = [row.words for row in rows_of(client, copy) if row.kind != Kind.ERASED]
        assert None not in words
        assert str(words[-1]).startswith("found")
    finally:
        turn_words_off(using)


# --- What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "status", "param"),
    [
        ({"up_to": "msg_1"}, 404, "up_to"),
        ({"up_to": "6"}, 404, "up_to"),
        ({"up_to": 9}, 404, "up_to"),
        ({"up_to": 0}, 404, "up_to"),
        ({"up_to": 3}, 404, "up_to"),  # erased
        ({"up_to": 10**30}, 404, "up_to"),
        ({"up_to": True}, 400, "up_to"),
        ({"up_to": 1.0}, 400, "up_to"),
        ({"id": 7}, 400, "id"),
        ({"items": []}, 400, "items"),
        ({"metadata": {"forked_from": "x"}}, 400, "metadata"),
        ({"metadata": {str(n): "" for n in range(15)}}, 400, "metadata"),
    ],
)
def test_a_wrong_field_is_named(client, source, document, status, param):
    reply = fork(client, source, document)
    assert (reply.status, reply.document["error"]["param"]) == (status, param)
    assert Conversation.objects.using(client.store.using).count() == 1


def test_an_id_that_exists_is_refused(client, source):
    client.post("", {"id": "taken"})
    for taken in ("taken", source[1:]):
        reply = fork(client, source, {"id": taken})
        assert (reply.status, reply.headers["x-should-retry"]) == (409, "false")
    assert fork(client, "/conv_1").status == 404
    assert Conversation.objects.using(client.store.using).count() == 2


def test_a_fork_needs_two_scopes_and_stays_with_its_tenant(client, monkeypatch):
    use(monkeypatch, Caller(tenant="a"))
    client.post("", {"id": "mine", "items": [TEXT]})
    for scope in ("read", "append"):
        use(monkeypatch, Caller(tenant="a", scopes={"delete", scope}))
        assert fork(client, "/mine").status == 403
    use(monkeypatch, Caller(tenant="b"))
    assert fork(client, "/mine").status == 404
    use(monkeypatch, Caller(tenant="a", scopes={"read", "append"}))
    reply = fork(client, "/mine", {"id": "other"})
    assert (reply.document["id"], reply.document["metadata"]["forked_from"]) == ("other", "mine")
    assert {entry["id"] for entry in client.get().document["data"]} == {"mine", "other"}
    use(monkeypatch, Caller(tenant="b"))
    assert client.get("/other").status == 404
    assert client.get("?metadata[forked_from]=mine").document["data"] == []


def test_a_source_that_has_changed_since_it_was_read_is_not_forked(client, source):
    tag = tag_of(client, source)
    assert fork(client, source, {}, **tag).status == 200
    client.post(f"{source}/items", {"items": [TEXT]})
    refused = fork(client, source, {}, **tag)
    assert (refused.status, refused.headers["x-should-retry"]) == (412, "false")


# --- Once for each key -------------------------------------------------------------------


@pytest.mark.parametrize("own_id", [{}, {"id": "copy"}], ids=["id of the server", "own id"])
def test_a_fork_with_a_key_is_made_once(client, source, own_id):
    first = fork(client, source, own_id, **key("k"))
    copy = path_of(first)
    items = all_items(client, copy)
    client.post(f"{source}/items", {"items": [TEXT]})
    assert fork(client, source, own_id, **key("k")).document == first.document
    assert all_items(client, copy) == items
    other = fork(client, source, {**own_id, "up_to": 1}, **key("k"))
    assert other.status == (409 if own_id else 422)
    assert client.delete(source).status == 200
    assert fork(client, source, own_id, **key("k")).document == first.document


def test_a_key_counts_for_one_source(client, source, conversation):
    other = f"/{client.post('', {'items': [TEXT]}).document['id']}"
    ids = {path_of(fork(client, path, {}, **key("k"))) for path in (source, other)}
    ids.add(f"/{client.post('', {}, **key('k')).document['id']}")
    assert len(ids) == 3


def test_of_many_forks_with_one_id_one_is_made(client, source):
    items = all_items(client, source)

    def ask(n: int) -> int:
        with closing(connections[client.store.using]):
            return fork(client, source, {"id": "copy"}, **(key("k") if n % 2 else {})).status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(ask, range(8)))
    # Either one without a key made it, or the four with the same key did.
    assert sorted(statuses) in ([200] + [409] * 7, [200] * 4 + [409] * 4)
    assert all_items(client, "/copy") == items


# --- Never half visible ------------------------------------------------------------------


class Crash(Exception):
    """The process ends."""


def crashing(count: int, step: Any) -> Any:
    """The step, which crashes when it was done so many times."""
    left = iter(range(count))

    def run(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise Crash
        return step(*arguments)

    return run


STEPS = [("copy_messages", 0), ("copy_messages", 2), ("copy_ids", 1), ("show", 0)]


@pytest.fixture(params=STEPS, ids=str)
def half(client: Client, source: str, monkeypatch: pytest.MonkeyPatch, request: Any) -> str:
    """A fork that was interrupted; it has the id "copy" and the key "k"."""
    name, count = request.param
    with monkeypatch.context() as patch:
        patch.setattr(copying, name, crashing(count, getattr(copying, name)))
        assert fork(client, source, {"id": "copy"}, **key("k")).status == 500
    assert Conversation.objects.using(client.store.using).count() == 2
    return "/copy"


def test_nobody_finds_a_fork_that_was_interrupted(client, source, half):
    assert client.get(half).status == client.get(f"{half}/items").status == 404
    assert client.post(f"{half}/items", {"items": [TEXT]}).status == 404
    assert client.delete(half).status == fork(client, half).status == 404
    assert [entry["id"] for entry in client.get().document["data"]] == [source[1:]]
    assert client.store.window("copy", 10) == []


@pytest.mark.parametrize("sent", [key("k"), {}], ids=["same key", "no key"])
def test_a_second_request_ends_it(client, source, half, sent):
    items = all_items(client, source)
    reply = fork(client, source, {"id": "copy"}, **sent)
    assert all_items(client, path_of(reply)) == items
    assert columns(client, half) == columns(client, source)
    assert fork(client, source, {"id": "copy"}, **sent).status == (200 if sent else 409)


@pytest.mark.parametrize("more", [{"up_to": 2}, {"up_to": "mine"}], ids=str)
def test_a_request_for_another_fork_begins_anew(client, source, half, more):
    copy = path_of(fork(client, source, {"id": "copy", **more}))
    assert all_items(client, copy) == all_items(client, source)[:2]


def test_a_writer_ends_it_and_begins_a_conversation(client, source, half):
    assert client.store.append("copy", [Message("user", (Part("text", "new"),))]) == 1
    assert texts(all_items(client, half)) == ["new"]
    assert (
        ItemId.objects.using(client.store.using)
        .filter(conversation=conversation_key("copy"))
        .count()
        == 0
    )
    assert fork(client, source, {"id": "copy"}, **key("k")).status == 409


@pytest.mark.parametrize(
    "change",
    ["an item is erased", "metadata change", "the source is deleted"],
)
def test_what_is_erased_meanwhile_is_in_no_fork(client, source, monkeypatch, change):
    """The fork begins anew; and nothing is left of one whose source is gone."""
    first = all_items(client, source)[0]["id"]
    step = copying.copy_messages
    is_changed: list[bool] = []

    def copy(*arguments: Any) -> Any:
        copied = step(*arguments)
        if not is_changed:
            is_changed.append(True)
            if change == "an item is erased":
                assert client.delete(f"{source}/items/{first}").status == 200
            elif change == "metadata change":
                assert client.post(source, {"metadata": {"a": "b"}}).status == 200
            else:
                assert client.delete(source).status == 200
        return copied

    monkeypatch.setattr(copying, "copy_messages", copy)
    reply = fork(client, source, {"up_to": 8})
    if change == "the source is deleted":
        assert reply.status == 404
        assert Conversation.objects.using(client.store.using).count() == 0
    else:
        assert all_items(client, path_of(reply)) == all_items(client, source)
        assert Conversation.objects.using(client.store.using).count() == 2


def test_a_conversation_that_loses_its_oldest_messages_is_not_forked_with_a_gap(
    client, source, monkeypatch
):
    """An interrupted deletion by the admin leaves the newest ones."""
    step = copying.copy_messages
    is_cut: list[bool] = []

    def copy(*arguments: Any) -> Any:
        copied = step(*arguments)
        if not is_cut:
            is_cut.append(True)
            monkeypatch.setattr(erasure, "BATCH", 5)
            erasure.erase(client.store.using, conversation_key(source[1:]), seconds=-1)
        return copied

    monkeypatch.setattr(copying, "copy_messages", copy)
    copy_path = path_of(fork(client, source))
    assert columns(client, copy_path) == columns(client, source)
    assert [row.position for row in rows_of(client, copy_path)] == [6, 7, 8]


@pytest.mark.parametrize("sent", [key("k"), {}], ids=["key", "no key"])
def test_a_long_fork_goes_on_with_the_next_request(client, source, monkeypatch, sent):
    monkeypatch.setattr(forks, "COPY_SECONDS", -1)
    statuses: list[int] = []
    while not statuses or statuses[-1] == 503:
        reply = fork(client, source, {}, **sent)
        statuses.append(reply.status)
        if not sent:
            # Nobody could ask for it again, so nothing is left of it.
            assert Conversation.objects.using(client.store.using).count() == 1
            return
    assert statuses[-1] == 200
    assert len(statuses) > 2
    assert all_items(client, path_of(reply)) == all_items(client, source)


def test_a_fork_is_bounded_by_bytes_too(client, conversation, monkeypatch):
    monkeypatch.setattr(copying, "CHUNK_BYTES", 300)
    client.post(f"{conversation}/items", {"items": [said("x" * 200) for _ in range(3)]})
    step = copying.copy_messages
    counts: list[int] = []

    def copy(*arguments: Any) -> Any:
        copied = step(*arguments)
        counts.append(copied.messages if copied else 0)
        return copied

    monkeypatch.setattr(copying, "copy_messages", copy)
    copy_path = path_of(fork(client, conversation))
    assert counts == [1, 1, 1, 0]
    assert len(json.dumps(all_items(client, copy_path))) > 600
