"""The Conversations API over each database: what each route does to the rows, and answers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import accumulate
from typing import Any
from urllib.parse import quote
from uuid import uuid5

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from api_keys.caller import Caller
from conversations_api.items import messages_of
from convstore.archive import erasure
from convstore.archive import pages as archive_pages
from convstore.archive.history import MessageRow
from convstore.archive.lists import SPARE_ROWS
from convstore.archive.repeats import Tail, said_of
from convstore.errors import Changed
from convstore.exchange.new_messages import new_messages
from convstore.messages import Message, Part
from convstore.models import Conversation, ItemId, Kind, MetadataPair
from convstore.store import conversation_key
from convstore.windows import WindowOptions
from memory_api.idempotency import request_key
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

# --- Conversations -----------------------------------------------------------------------


def test_a_conversation_is_created_found_changed_and_deleted(client, deletions):
    pairs = {"title": "Trip", "user": "Bo"}
    created = client.post("", {"metadata": pairs, "items": [TEXT, REASONING]})
    assert created.status == 200
    assert created.document["object"] == "conversation"
    assert created.document["metadata"] == pairs
    path = f"/{created.document['id']}"
    assert client.get(path).document == created.document

    changed = client.post(path, {"metadata": {"title": "Long trip"}})
    assert changed.document == {**created.document, "metadata": {"title": "Long trip"}}
    assert MetadataPair.objects.using(client.store.using).count() == 1
    assert client.get(path).document == changed.document

    deleted = client.delete(path)
    gone = {"id": path[1:], "object": "conversation.deleted", "deleted": True}
    assert (deleted.status, deleted.document) == (200, gone)
    what = "by the API: conversation of 2 messages"
    told = ("no key", client.store.using, what)
    assert deletions == [(*told, None), (*told, "")]
    assert client.get(path).status == 404
    for model in (Conversation, MessageRow, ItemId, MetadataPair):
        assert model.objects.using(client.store.using).count() == 0


def test_a_conversation_of_a_v2_client_is_one_here_and_the_other_way_round(client):
    client.store.append("pupil/7", [Message("user", (Part("text", "Hi"),))])
    path = "/mid_cHVwaWwvNw"
    assert client.get(path).document["id"] == path[1:]
    client.post(f"{path}/items", {"items": [said("And?"), REASONING, CALL, ANSWER]})
    window = [json.loads(row.body) for row in client.store.window("pupil/7", 10)]
    assert [each["role"] for each in window] == ["user", "user", "assistant", "tool"]
    assert window[0] == {"role": "user", "content": [{"type": "text", "value": "Hi"}]}
    assert window[2]["tool_calls"][0]["id"] == window[3]["tool_call_id"] == "c1"
    pairs = client.store.window("pupil/7", WindowOptions(2, "tool_pair"))
    assert [row.role for row in pairs] == ["assistant", "tool"]
    listed = client.get(f"{path}/items?order=asc").document["data"]
    assert [item["type"] for item in listed] == [
        "message",
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert [item["position"] for item in listed] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("method", "path", "document", "param"),
    [
        ("POST", "", {"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ("POST", "", {"metadata": {"a": 1}}, "metadata"),
        ("POST", "", {"metadata": {"a" * 65: ""}}, "metadata"),
        ("POST", "", {"metadata": {"a": "b" * 513}}, "metadata"),
        ("POST", "", {"item": []}, "item"),
        ("POST", "", {"items": [{"type": "message", "role": "user"}]}, "items[0].content"),
        ("POST", "", {"items": [TEXT, {"role": 1, "content": ""}]}, "items[1].role"),
        ("POST", "", {"items": [{"call_id": "c"}]}, "items[0].type"),
        ("POST", "", {"items": [{**TEXT, "id": ""}]}, "items[0].id"),
        ("POST", "", {"items": [REASONING, REASONING]}, "items"),
        ("POST", "", [], None),
        ("GET", "/{}/items?limit=0", None, "limit"),
        ("GET", "/{}/items?limit=101", None, "limit"),
        ("GET", "/{}/items?order=up", None, "order"),
        ("POST", "/{}", {}, "metadata"),
        ("POST", "/{}/items", {}, "items"),
    ],
)
def test_a_wrong_field_is_named(client, conversation, method, path, document, param):
    reply = client.send(method, path.format(conversation[1:]), document)
    error = reply.document["error"]
    assert (reply.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert Conversation.objects.using(client.store.using).count() == 1


@pytest.mark.parametrize(
    "path", ["/conv_1", "/conv_1/items", "/conv_1/items/msg_1", "/mid_a", "/b/c"]
)
def test_what_is_not_there_is_404(client, path):
    reply = client.get(path)
    assert (reply.status, reply.document["error"]["type"]) == (404, "invalid_request_error")
    assert reply.document["error"]["code"]


def test_a_method_that_a_route_has_not_is_refused_with_those_it_has(client, conversation):
    reply = client.send("PATCH", conversation, {})
    assert (reply.status, reply.document["error"]["type"]) == (405, "invalid_request_error")
    assert {"GET", "POST", "DELETE"} <= set(reply.headers["Allow"].split(", "))


def test_items_for_a_conversation_that_is_not_there_begin_none(client):
    assert client.post("/conv_1/items", {"items": [TEXT]}).status == 404
    assert Conversation.objects.using(client.store.using).count() == 0


# --- Additions to OpenAI's API -----------------------------------------------------------


def test_a_client_names_its_conversation_once(client):
    created = client.post("", {"id": "pupil/7", "items": [TEXT]})
    assert created.document["id"] == "mid_cHVwaWwvNw"
    assert len(client.store.window("pupil/7", 5)) == 1
    again = client.post("", {"id": "pupil/7", "items": [TEXT]})
    assert (again.status, again.headers["x-should-retry"]) == (409, "false")
    assert len(client.store.window("pupil/7", 5)) == 1
    for wrong in ("", "a" * 511, 7, "a\0b"):
        reply = client.post("", {"id": wrong})
        assert (reply.status, reply.document["error"]["param"]) == (400, "id")
        assert reply.document["error"]["message"].startswith("'id'")


@pytest.mark.parametrize("own_id", [{}, {"id": "mine"}], ids=["id of the server", "own id"])
@pytest.mark.parametrize("items", [[], [TEXT, REASONING]], ids=["empty", "with items"])
def test_a_creation_with_a_key_is_done_once(client, own_id, items):
    wanted = {**own_id, "items": items, "metadata": {"a": "b"}}
    first = client.post("", wanted, **key("k"))
    assert first.status == 200
    client.post(f"/{first.document['id']}/items", {"items": [said("more")]})
    assert client.post("", wanted, **key("k")).document == first.document
    assert Conversation.objects.using(client.store.using).count() == 1
    assert len(rows_of(client, first.document["id"])) == len(items) + 1
    other = client.post("", {**wanted, "metadata": {"a": "c"}}, **key("k"))
    assert other.status == (409 if own_id else 422)
    if not own_id:
        assert client.post("", wanted, **key("k2")).document["id"] != first.document["id"]
    # The error of a row that could not be saved would hold its request, as long as the connection.
    connection: Any = connections[client.store.using]
    assert connection.rollback_exc is None


def test_items_with_a_key_are_added_once(client, conversation):
    path = f"{conversation}/items"
    sent = {"items": [said("a"), CALL, REASONING]}
    first = client.post(path, sent, **key("k"))
    assert client.post(path, sent, **key("k")).document == first.document
    erased = first.document["data"][1]["id"]
    assert client.delete(f"{path}/{erased}").status == 200
    left = [item for item in first.document["data"] if item["id"] != erased]
    assert client.post(path, sent, **key("k")).document["data"] == left
    assert client.post(path, {"items": [said("b")]}, **key("k")).status == 422
    assert len(rows_of(client, conversation)) == 3
    assert client.post(path, sent, HTTP_IDEMPOTENCY_KYE="k").status == 400


def test_metadata_with_a_key_are_set_once(client, conversation):
    for title, idempotency in (("a", key("1")), ("b", key("2"))):
        assert client.post(conversation, {"metadata": {"t": title}}, **idempotency).status == 200
    late = client.post(conversation, {"metadata": {"t": "a"}}, **key("1"))
    assert (late.status, late.document["metadata"]) == (200, {"t": "b"})


def test_a_change_of_what_has_changed_since_is_refused(client, conversation):
    path = f"{conversation}/items"
    item = client.post(path, {"items": [said("a"), said("b")]}).document["data"][0]["id"]
    client.post(path, {"items": [said("c")]})
    old = {"HTTP_IF_MATCH": '"0-2-0"'}
    changes = [
        lambda tag: client.post(path, {"items": [said("d")]}, **tag),
        lambda tag: client.post(conversation, {"metadata": {"a": "b"}}, **tag),
        lambda tag: client.send("PUT", f"{path}?from=3", {"items": [said("e")]}, **tag),
        lambda tag: client.delete(f"{path}/{item}", **tag),
        lambda tag: client.delete(conversation, **tag),
    ]
    for change in changes:
        before = client.get(path).document
        refused = change(old)
        assert (refused.status, refused.headers["x-should-retry"]) == (412, "false")
        assert client.get(path).document == before
        current = tag_of(client, path)
        assert current == tag_of(client, conversation)
        assert change({"HTTP_IF_MATCH": f'"x", {current["HTTP_IF_MATCH"]}'}).status == 200
        old = current
    assert client.post("", {}, **old).status == 412


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("{}", 200),
        ("W/{}", 200),
        ('"x", W/{}', 200),
        ("*", 200),
        ('"x"', 412),
        ('W/"x"', 412),
        ("", 400),
        ("revision", 400),
    ],
)
def test_if_match_takes_tags_as_they_came(client, conversation, header, status):
    tag = client.get(conversation).headers["ETag"]
    sent = {"HTTP_IF_MATCH": header.format(tag)}
    assert client.post(conversation, {"metadata": {"a": "b"}}, **sent).status == status


def test_a_conversation_that_begins_anew_has_another_revision(client):
    tags = set()
    for _ in range(2):
        client.post("", {"id": "mine", "items": [TEXT]})
        tags.add(client.get("/mine").headers["ETag"])
        client.delete("/mine")
    assert len(tags) == 2


def test_the_tail_is_replaced_from_an_item_or_a_position_on(client, conversation, deletions):
    path = f"{conversation}/items"
    added = client.post(path, {"items": [said(str(n)) for n in range(1, 6)]}).document["data"]
    reply = client.send("PUT", f"{path}?from={added[3]['id']}", {"items": [said("new"), CALL]})
    assert [item["position"] for item in reply.document["data"]] == [6, 7]
    listed = all_items(client, conversation)
    assert listed == [*added[:3], *reply.document["data"]]
    assert [row.kind for row in rows_of(client, conversation)].count(Kind.ERASED) == 2
    assert client.send("PUT", f"{path}?from=2", {"items": []}).document["data"] == []
    assert all_items(client, conversation) == added[:1]
    assert Conversation.objects.using(client.store.using).get().erased == 6
    first, second = (
        f"by the API: items from position {start} on; the last position was {last}"
        for start, last in ((4, 5), (2, 7))
    )
    assert [entry[2:] for entry in deletions] == [
        (what, outcome) for what in (first, second) for outcome in (None, "")
    ]
    assert client.post(path, {"items": [said("next")]}).document["data"][0]["position"] == 8
    assert client.send("PUT", path, {"items": []}).document["error"]["param"] == "from"
    assert client.send("PUT", f"{path}?from=msg_1", {"items": []}).status == 404


def test_the_tail_begins_in_the_middle_of_a_turn(client, conversation):
    path = f"{conversation}/items"
    turn = [{**TEXT, "role": "assistant"}, CALL, {**CALL, "call_id": "c2"}]
    added = client.post(path, {"items": [TEXT, *turn, ANSWER]}).document["data"]
    client.send("PUT", f"{path}?from={added[2]['id']}", {"items": [said("no")]})
    assert all_items(client, conversation)[:2] == added[:2]
    (row,) = [row for row in rows_of(client, conversation) if row.position == 2]
    assert "tool_calls" not in row.body


@pytest.mark.parametrize("items", [[], [said("new")]], ids=["none", "one"])
def test_a_tail_is_replaced_once_for_each_key(client, conversation, items):
    path = f"{conversation}/items"
    client.post(path, {"items": [said("a"), said("b")]})
    first = client.send("PUT", f"{path}?from=2", {"items": items}, **key("k"))
    client.post(path, {"items": [said("more")]})
    again = client.send("PUT", f"{path}?from=2", {"items": items}, **key("k"))
    assert (again.status, again.document) == (200, first.document)
    assert texts(all_items(client, conversation)) == ["a", *texts(items), "more"]


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "add": ("POST", "/items", {"items": [said("new")]}),
    "replace": ("PUT", "/items?from=2", {"items": [said("new")]}),
    "replace more": ("PUT", "/items?from=1", {"items": [said("new")]}),
    "replace half a turn": ("PUT", "/items?from={half}", {"items": [said("new")]}),
    "cut": ("PUT", "/items?from=2", {"items": []}),
    "cut more": ("PUT", "/items?from=1", {"items": []}),
}


@pytest.mark.parametrize("if_match", [False, True], ids=["any revision", "If-Match"])
@pytest.mark.parametrize("first", REQUESTS)
def test_a_key_is_for_one_request(client, first, if_match):
    turn = [{**TEXT, "role": "assistant"}, CALL]
    for second in REQUESTS:
        created = client.post("", {"items": [said("a"), *turn, said("b")]}).document
        path = f"/{created['id']}"
        half = all_items(client, path)[2]["id"]
        done = send_with_key(client, path, first, half, if_match)
        assert done.status == 200
        client.post(f"{path}/items", {"items": [said("more")]})
        before = all_items(client, path)
        again = send_with_key(client, path, second, half, if_match)
        assert (second, again.status) == (second, 200 if first == second else 422)
        assert first != second or again.document == done.document
        assert all_items(client, path) == before


def send_with_key(client: Client, path: str, name: str, half: str, if_match: bool) -> Reply:
    method, end, document = REQUESTS[name]
    tag = tag_of(client, path) if if_match else {}
    return client.send(method, f"{path}{end.format(half=half)}", document, **tag, **key("k"))


def test_metadata_keep_to_their_key(client, conversation):
    """A change of metadata and the items do not share keys."""
    client.post(conversation, {"metadata": {"a": "1"}}, **key("k"))
    refused = client.post(conversation, {"metadata": {"a": "2"}}, **key("k"))
    assert (refused.status, client.get(conversation).document["metadata"]) == (422, {"a": "1"})
    assert client.post(f"{conversation}/items", {"items": [TEXT]}, **key("k")).status == 200


@pytest.mark.parametrize("texts_of_items", [[], ["new"]], ids=["none", "one"])
def test_a_retry_of_what_an_older_version_did_is_known(client, conversation, texts_of_items):
    """They stored neither where a tail begins, nor which metadata had a key."""
    path, using = f"{conversation}/items", client.store.using
    added = client.post(path, {"items": [said("a"), said("b"), CALL, said("c")]}).document["data"]
    sent = {"items": [said(text) for text in texts_of_items]}
    client.send("PUT", f"{path}?from=3", sent, **key("k"))
    client.post(conversation, {"metadata": {"a": "b"}}, **key("k"))
    ids, row_key = ItemId.objects.using(using), conversation_key(conversation[1:])
    stored_as: Any = request_key(client.memory, conversation[1:], "k", None, ())
    cut = uuid5(stored_as, said_of(Tail(3)))
    ids.filter(digest__in=[uuid5(stored_as, kind) for kind in ("metadata", "cut")]).delete()
    ids.filter(digest=cut).update(digest=stored_as)
    messages = messages_of(sent["items"])
    plain = new_messages(messages, stored_as)[0].fingerprint if messages else None
    rows = MessageRow.objects.using(using).filter(conversation_id=row_key, request_key=stored_as)
    assert rows.update(fingerprint=plain) == len(messages)

    client.post(path, {"items": [said("more")]})
    before = all_items(client, conversation)
    assert client.send("PUT", f"{path}?from=3", sent, **key("k")).status == 200
    assert client.send("PUT", f"{path}?from={added[2]['id']}", sent, **key("k")).status == 200
    assert client.post(conversation, {"metadata": {"a": "b"}}, **key("k")).status == 200
    if sent["items"]:
        assert client.send("PUT", f"{path}?from=1", sent, **key("k")).status == 422
    assert all_items(client, conversation) == before


def test_places_of_deleted_items_and_places_behind_the_end(client, conversation):
    path = f"{conversation}/items"
    added = client.post(path, {"items": [said("a"), said("b"), said("c")]}).document["data"]
    gone = added[1]["id"]
    client.delete(f"{path}/{gone}")
    for after in (gone, 2):
        assert texts(client.get(f"{path}?order=asc&after={after}").document["data"]) == ["c"]
    for up_to in (gone, 2):
        assert client.post(f"{conversation}/fork", {"up_to": up_to}).status == 404
    behind = client.send("PUT", f"{path}?from=99", {"items": [said("d")]})
    assert [item["position"] for item in behind.document["data"]] == [4]
    assert client.send("PUT", f"{path}?from={gone}", {"items": []}).status == 200
    assert all_items(client, conversation) == added[:1]


def test_of_many_writers_with_the_same_revision_one_adds(client, conversation):
    path = f"{conversation}/items"
    tag = tag_of(client, path)

    def add(n: int) -> int:
        with closing(connections[client.store.using]):
            status: int = client.post(path, {"items": [said(str(n))]}, **tag).status
            return status

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(add, range(8))) == [200] + [412] * 7
    assert len(rows_of(client, conversation)) == 1


def pages(client: Client, query: str, limit: int) -> list[dict[str, Any]]:
    """All entries of a list of conversations, read page by page."""
    found: list[dict[str, Any]] = []
    while True:
        after = f"&after={found[-1]['id']}" if found else ""
        page = client.get(f"?limit={limit}{query}{after}").document
        found += page["data"]
        assert len(page["data"]) == limit or not page["has_more"]
        if not page["has_more"]:
            return found


def test_conversations_are_listed_by_time_and_by_metadata(client):
    created = [
        client.post("", {"id": f"c/{n}", "metadata": {"user": f"u{n % 3}", "n": str(n)}}).document
        for n in range(25)
    ]
    rows = Conversation.objects.using(client.store.using)
    rows.filter(memory_id="c/3").update(active_at="2099-01-01T00:00:00Z")
    same = rows.get(memory_id="c/10").created_at
    rows.filter(memory_id__in=("c/11", "c/12")).update(created_at=same)
    MetadataPair.objects.using(client.store.using).filter(
        conversation__in=[conversation_key("c/11"), conversation_key("c/12")]
    ).update(created_at=same)
    assert client.get().document["data"][0] == created[24]
    assert client.get("?order=active").document["data"][0] == created[3]
    erasure.hide(client.store.using, conversation_key("c/7"))
    left = [entry for entry in created if entry["metadata"]["n"] != "7"]
    names = sorted(entry["id"] for entry in left)
    for limit in (1, 4, 24, 100):
        for order in ("asc", "desc", "active"):
            found = pages(client, f"&order={order}", limit)
            assert sorted(entry["id"] for entry in found) == names
            if order != "active":
                times = [entry["created_at"] for entry in found]
                assert times == sorted(times, reverse=order == "desc")
        found = pages(client, "&metadata[user]=u1", limit)
        expected = [entry for entry in left if entry["metadata"]["user"] == "u1"]
        assert sorted(entry["id"] for entry in found) == sorted(e["id"] for e in expected)
    assert client.get("?metadata[user]=U1").document["data"] == []
    assert client.get("?after=conv_1").status == 404


@pytest.mark.parametrize("query", ["", "order=active", "prefix=", "metadata[job]=x"])
def test_whoever_deletes_what_a_page_shows_begins_again(client, query):
    for _ in range(5):
        client.post("", {"metadata": {"job": "x"}})
    while found := client.get(f"?limit=2&{query}").document["data"]:
        for each in found:
            assert client.delete(f"/{each['id']}").status == 200
        reply = client.get(f"?limit=2&{query}&after={found[-1]['id']}")
        assert (reply.status, reply.document["error"]["param"]) == (404, "after")
        assert "begin the list again without 'after'" in reply.document["error"]["message"]
    assert Conversation.objects.using(client.store.using).count() == 0


@pytest.mark.parametrize(
    "query",
    [
        "?order=up",
        "?limit=x",
        "?prefixes=a",
        "?metadata[a]=b&metadata[c]=d",
        "?metadata[a]=b&order=asc",
    ],
)
def test_a_list_refuses_what_it_does_not_know(client, query):
    assert client.get(query).status == 400


@pytest.mark.parametrize("query", ["?before=x", "?limits=1", "?order=active", "?format=json"])
def test_a_list_of_items_refuses_what_it_does_not_know(client, conversation, query):
    client.post(f"{conversation}/items", {"items": [TEXT]})
    assert client.get(f"{conversation}/items{query}").status == 400
    known = "?include[]=file_search_call.results&include=x&limit=1&order=asc"
    assert len(client.get(f"{conversation}/items{known}").document["data"]) == 1


IDS = ("trip", "trip-1", "trip-10", "trip-2", "Trip-3", "trip_4", "trip/é", "tri", "tr%ip")


@pytest.mark.parametrize("tenant", ["", "acme"])
def test_conversations_are_listed_by_the_beginnings_of_their_ids(client, monkeypatch, tenant):
    use(monkeypatch, Caller(tenant="acme-2"))
    client.post("", {"id": "trip-99"})
    use(monkeypatch, Caller(tenant=tenant))
    shown = {own: client.post("", {"id": own}).document["id"] for own in IDS}
    erasure.hide(client.store.using, conversation_key(Caller(tenant=tenant).stored_id("trip-2")))
    for prefix in ("trip", "trip-", "tri", "trip/", "tr%", "x"):
        expected = [shown[own] for own in IDS if own.startswith(prefix) and own != "trip-2"]
        orders = set()
        for limit in (1, 2, 100):
            found = [each["id"] for each in pages(client, f"&prefix={quote(prefix)}", limit)]
            assert sorted(found) == sorted(expected)
            assert prefix not in shown or found[0] == shown[prefix]
            orders.add(tuple(found))
        assert len(orders) == 1
    if tenant:
        assert len(pages(client, "&prefix=", 3)) == len(IDS) - 1


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ("&order=desc", "prefix"),
        ("&metadata[a]=b", "prefix"),
        ("%00", "prefix"),
        ("a" * 511, "prefix"),
        ("&after=b", "after"),
    ],
)
def test_a_prefix_is_for_ids_and_alone(client, more, param):
    client.post("", {"id": "b"})
    reply = client.get(f"?prefix=a{more}")
    assert (reply.status, reply.document["error"]["param"]) == (400, param)


# --- Who may come in ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"SERVER_NAME": "0.0.0.0"},  # noqa: S104
        {"SERVER_NAME": "192.0.2.1"},
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": ""},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "127.0.0.1.evil.example:8080"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_TYPE": ""},
    ],
    ids=str,
)
def test_without_keys_only_programs_of_this_machine_come_in(client, settings, other):
    refused = client.post("", {}, **other)
    assert (refused.status, refused.document["error"]["code"]) == (403, "not_local")
    assert Conversation.objects.using(client.store.using).count() == 0
    settings.CONVERSATIONS_API = "open"
    assert client.post("", {}, **other).status == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80", "127.9.9.9"])
def test_all_names_of_this_machine_are_its_own(client, host):
    assert client.post("", {}, HTTP_HOST=host).status == 200


def test_once_there_is_a_key_everybody_needs_one(client, monkeypatch, settings):
    settings.CONVERSATIONS_API = "open"
    monkeypatch.setattr("conversations_api.access.asks_for_keys", lambda door: True)
    refused = client.post("", {})
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_tenant_reaches_nothing_but_its_own(client, monkeypatch, deletions):
    use(monkeypatch, Caller(tenant="b"))
    others = client.post("", {"id": "mine", "items": [TEXT], "metadata": {"a": "b"}}).document
    use(monkeypatch, Caller(tenant="a", name="bot", prefix="123"))
    for path in ("/mine", "/mine/items", "/mid_Yi9taW5l", f"/mid_{'Li4vYi9taW5l'}"):
        assert client.get(path).status == 404
        assert client.delete(path.removesuffix("/items")).status == 404
    assert client.get().document["data"] == []
    assert client.get("?metadata[a]=b").document["data"] == []
    own = client.post("", {"id": "mine"}).document
    assert own["id"] == "mine"
    assert client.get().document["data"] == [own]
    assert client.delete("/mine").status == 200
    assert deletions[0][0] == "key 123 (bot)"
    use(monkeypatch, Caller())
    assert client.get("/mid_Yi9taW5l").document == {**others, "id": "mid_Yi9taW5l"}


def test_a_tenants_list_by_metadata_reads_no_pairs_of_others(client, monkeypatch):
    use(monkeypatch, Caller(tenant="a"))
    own = [client.post("", {"metadata": {"user": "ada"}}).document["id"] for _ in range(3)]
    assert client.post(f"/{own[0]}", {"metadata": {"user": "ada", "n": "1"}}).status == 200
    use(monkeypatch, Caller(tenant="b"))
    for _ in range(2 * SPARE_ROWS):
        client.post("", {"metadata": {"user": "ada"}})
    use(monkeypatch, Caller(tenant="a"))
    with CaptureQueriesContext(connections[client.store.using]) as queries:
        found = client.get("?limit=2&metadata[user]=ada").document["data"]
    assert [each["id"] for each in found] == own[:0:-1]
    # One of pairs, one of their conversations, and one that finds that there are no more.
    assert len([each for each in queries if "convstore" in each["sql"]]) <= 3
    for each in own:
        erasure.hide(client.store.using, conversation_key(f"a/{each}"))
    assert MetadataPair.objects.using(client.store.using).count() == 2 * 2 * SPARE_ROWS
    use(monkeypatch, Caller())
    assert len(pages(client, "&metadata[user]=ada", 7)) == 2 * SPARE_ROWS


def test_each_route_needs_its_scopes(client, conversation, monkeypatch):
    path = f"{conversation}/items"
    routes = [
        ({"read"}, lambda: client.get()),
        ({"read"}, lambda: client.get(conversation)),
        ({"read"}, lambda: client.get(path)),
        ({"read"}, lambda: client.get(f"{path}/msg_1")),
        ({"append"}, lambda: client.post()),
        ({"append"}, lambda: client.post(conversation, {"metadata": {}})),
        ({"append"}, lambda: client.post(path, {"items": []})),
        ({"append", "delete"}, lambda: client.send("PUT", f"{path}?from=1", {"items": []})),
        ({"delete"}, lambda: client.delete(f"{path}/msg_1")),
        ({"delete"}, lambda: client.delete(conversation)),
    ]
    for needed, ask in routes:
        for scope in needed:
            use(monkeypatch, Caller(scopes={"read", "append", "delete"} - {scope}))
            assert ask().status == 403
        use(monkeypatch, Caller(scopes=needed))
        assert ask().status in (200, 404)
    use(monkeypatch, Caller(memories={"other"}))
    assert client.get().status == 403


# --- Items -------------------------------------------------------------------------------


def test_items_are_listed_in_pages_both_ways(client, conversation):
    added = []
    for n in range(4):
        some = [said(f"{n}.{m}") for m in range(2)] + [
            {**CALL, "call_id": f"c{n}.{m}"} for m in range(3)
        ]
        reply = client.post(f"{conversation}/items", {"items": some})
        assert reply.document["has_more"] is False
        added += reply.document["data"]
    assert len({item["id"] for item in added}) == len(added) == 20
    for order, expected in (("asc", added), ("desc", added[::-1])):
        for limit in (1, 3, 7, 20, 21):
            found, after = [], ""
            while True:
                query = f"?order={order}&limit={limit}{after}"
                page = client.get(f"{conversation}/items{query}").document
                assert page["first_id"] == page["data"][0]["id"]
                found += page["data"]
                if not page["has_more"]:
                    break
                assert len(page["data"]) == limit
                after = f"&after={page['last_id']}"
            assert found == expected
    assert client.get(f"{conversation}/items").document["data"] == added[::-1]
    assert client.get(f"{conversation}/items?after=msg_1").status == 404


def test_items_are_found_by_their_position(client, conversation):
    path = f"{conversation}/items"
    calls = [{**CALL, "call_id": f"c{n}"} for n in range(3)]
    added = client.post(path, {"items": [said("1"), *calls, said("3")]}).document["data"]
    for position, item in ((1, added[0]), (2, added[1]), (3, added[4])):
        assert client.get(f"{path}/{position}").document == item
    assert client.get(f"{path}?order=asc&after=2").document["data"] == added[4:]
    assert client.get(f"{path}?after=2").document["data"] == added[:1]
    assert client.get(f"{path}?after=9").document["data"] == added[::-1]
    for nothing in ("0", "4", "9" * 18, "9" * 19, "-1", "²"):
        assert client.get(f"{path}/{nothing}").status == 404
    client.delete(f"{path}/{added[0]['id']}")
    assert client.get(f"{path}/1").status == client.delete(f"{path}/3").status == 404
    (own,) = client.post(path, {"items": [{**said("4"), "id": "2"}]}).document["data"]
    assert client.get(f"{path}/2").document == own
    client.send("PUT", f"{path}?from=2", {"items": []})
    assert all_items(client, conversation) == added[1:]


def test_a_page_ends_where_its_bytes_do(client, conversation, monkeypatch):
    monkeypatch.setattr("convstore.archive.pages.CHUNK_BYTES", 3000)
    client.post(f"{conversation}/items", {"items": [said(str(n) * 1000) for n in range(5)]})
    first = client.get(f"{conversation}/items?order=asc").document
    assert [text[0] for text in texts(first["data"])] == ["0", "1"]
    assert first["has_more"] is True
    rest = client.get(f"{conversation}/items?order=asc&after={first['last_id']}").document
    assert [text[0] for text in texts(rest["data"])] == ["2"]


def turns(client: Client, conversation: str, query: str) -> list[dict[str, Any]]:
    """All messages in the form of chat, page by page."""
    found: list[dict[str, Any]] = []
    after, is_newest_first = "", "order=asc" not in query
    while True:
        page = client.get(f"{conversation}/items?format=chat{query}{after}").document
        found = [*page["data"], *found] if is_newest_first else [*found, *page["data"]]
        assert page["left_out"] == []
        roles = [message["role"] for message in page["data"]]
        assert roles[:1] != ["tool"]
        assert "tool_calls" not in page["data"][-1]
        if not page["has_more"]:
            return found
        after = f"&after={page['last_id']}"


def test_items_are_listed_as_chat_messages_with_whole_turns(client, conversation):
    path = f"{conversation}/items"
    text = {"type": "output_text", "text": "Done", "annotations": []}
    said_last = {"type": "message", "role": "assistant", "content": [text]}
    for n in range(3):
        calls = [{**CALL, "call_id": f"c{n}{m}"} for m in range(3)]
        answers = [{**ANSWER, "call_id": f"c{n}{m}"} for m in range(3)]
        client.post(path, {"items": [said(f"user {n}"), calls[0]]})
        client.post(path, {"items": [*calls[1:], *answers, said_last]})
    whole = client.get(f"{path}?format=chat&limit=100").document
    assert (whole["object"], whole["has_more"]) == ("list", False)
    roles = [message["role"] for message in whole["data"]]
    assert roles == ["user", "assistant", "tool", "tool", "tool", "assistant"] * 3
    assert [each["id"] for each in whole["data"][1]["tool_calls"]] == ["c00", "c01", "c02"]
    newest = client.get(f"{path}?format=chat&limit=2").document["data"]
    assert [message["role"] for message in newest] == roles[1:6]
    for order in ("desc", "asc"):
        for limit in (1, 2, 4, 7, 20, 21):
            assert turns(client, conversation, f"&order={order}&limit={limit}") == whole["data"]


def test_what_has_no_form_in_a_chat_is_named(client, conversation):
    path = f"{conversation}/items"
    (item,) = client.post(path, {"items": [REASONING]}).document["data"]
    page = client.get(f"{path}?format=chat").document
    assert (page["data"], page["first_id"], page["last_id"]) == ([], item["id"], item["id"])
    assert [entry["position"] for entry in page["left_out"]] == [1]
    assert client.get(path).headers["ETag"] == client.get(f"{path}?format=chat").headers["ETag"]
    reply = client.get(f"{path}?format=text")
    assert (reply.status, reply.document["error"]["param"]) == (400, "format")


CUTS = {
    "the tail is replaced": lambda client, path: client.send(
        "PUT", f"{path}/items?from=2", {"items": [said("new")]}
    ),
    "the conversation is deleted": lambda client, path: client.delete(path),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("query", ["?order=asc", "?format=chat"])
def test_a_page_has_all_of_a_change_or_nothing(client, conversation, monkeypatch, name, query):
    """Also one that is done between the statements of the page."""
    path = f"{conversation}/items{query}"
    client.post(f"{conversation}/items", {"items": [said(str(n)) for n in range(1, 4)]})
    cuts = iter([CUTS[name]])

    def measure_late(sizes: Any) -> Any:
        for cut in cuts:
            assert cut(client, conversation).status == 200
        return accumulate(sizes)

    monkeypatch.setattr(archive_pages, "accumulate", measure_late)
    page, later = client.get(path), client.get(path)
    assert page.status == (200 if "tail" in name else 404)
    assert page.document == later.document
    assert page.headers.get("ETag") == later.headers.get("ETag")


def test_an_empty_list_has_no_ids(client, conversation):
    page = client.get(f"{conversation}/items").document
    empty: dict[str, Any] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    assert page == empty
    assert client.post(f"{conversation}/items", {"items": []}).document == empty


def test_an_item_is_found_by_its_id_whoever_gave_it(client, conversation):
    items = [TEXT, REASONING, {**CALL, "id": "fc_mine"}, {**CALL, "call_id": "c2"}]
    added = client.post(f"{conversation}/items", {"items": items}).document["data"]
    assert [item["id"] for item in added[1:3]] == ["rs_mine", "fc_mine"]
    assert added[3]["id"].endswith("_2")
    for item in added:
        assert client.get(f"{conversation}/items/{item['id']}").document == item
    made = added[0]["id"]
    for wrong in (made.replace("msg_", "fc_"), f"{made}_2", f"{made}_1", made[:-1], "fc_min"):
        assert client.get(f"{conversation}/items/{wrong}").status == 404


def test_the_same_items_with_ids_are_a_retry_and_others_are_refused(client, conversation):
    path = f"{conversation}/items"
    items = [said("a"), REASONING]
    first = client.post(path, {"items": items}).document
    assert client.post(path, {"items": items}).document == first
    assert client.post(path, {"items": [REASONING]}).document["data"] == first["data"][1:]
    assert client.post(path, {"items": [first["data"][0]]}).document["data"] == first["data"][:1]
    for others in (
        [{**REASONING, "summary": [1]}],
        [REASONING, said("b")],
        [said("b"), REASONING],
        [{**first["data"][0], "status": "completed"}],
    ):
        reply = client.post(path, {"items": others})
        assert reply.status == 400
        assert "Duplicate item" in reply.document["error"]["message"]
    assert len(rows_of(client, conversation)) == 2


def test_the_same_id_in_another_conversation_is_another_item(client, conversation):
    other = f"/{client.post().document['id']}"
    for path in (conversation, other):
        assert client.post(f"{path}/items", {"items": [REASONING]}).status == 200


# --- Erasing -----------------------------------------------------------------------------


def test_an_erased_item_leaves_its_place_and_nothing_else(client, conversation, deletions):
    path = f"{conversation}/items"
    added = client.post(path, {"items": [said("1"), said("2"), REASONING, said("4")]}).document
    ids = [item["id"] for item in added["data"]]
    for erased in ids[1:3]:
        reply = client.delete(f"{path}/{erased}")
        assert (reply.status, reply.document["id"]) == (200, conversation[1:])
        assert client.get(f"{path}/{erased}").status == 404
        assert client.delete(f"{path}/{erased}").status == 404
    listed = client.get(f"{path}?order=asc").document["data"]
    assert [item["position"] for item in listed] == [1, 4]
    assert client.get(f"{path}?order=asc&after={ids[1]}").document["data"] == listed[1:]
    rows = rows_of(client, conversation)
    assert [row.kind for row in rows] == [Kind.MESSAGE, Kind.ERASED, Kind.ERASED, Kind.MESSAGE]
    assert {(row.body, row.size) for row in rows[1:3]} == {("{}", 2)}
    assert len(client.store.window(conversation[1:], 9)) == 2
    assert [entry[2] for entry in deletions if entry[3] == ""] == [
        "by the API: item at position 2",
        "by the API: item at position 3",
    ]
    assert client.post(path, {"items": [said("5")]}).document["data"][0]["position"] == 5
    reply = client.post(path, {"items": [REASONING]})  # a late retry
    assert (reply.status, len(rows_of(client, conversation))) == (400, 5)


def test_one_item_of_a_row_is_erased_and_the_ids_of_the_others_stay(client, conversation):
    path = f"{conversation}/items"
    calls = [{**CALL, "call_id": f"c{n}"} for n in range(3)]
    added = client.post(path, {"items": [{**TEXT, "role": "assistant"}, *calls]}).document["data"]
    assert client.delete(f"{path}/{added[1]['id']}").status == 200
    left = [added[0], *added[2:]]
    assert client.get(f"{path}?order=asc").document["data"] == left
    assert client.get(f"{path}?after={added[1]['id']}").document["data"] == added[:1]
    (row,) = rows_of(client, conversation)
    assert (row.kind, len(json.loads(row.body)["tool_calls"])) == (Kind.MESSAGE, 2)
    for item in left:
        assert client.delete(f"{path}/{item['id']}").status == 200
    (row,) = rows_of(client, conversation)
    assert row.kind == Kind.ERASED
    assert Conversation.objects.using(client.store.using).get().erased == 1


def test_nothing_is_deleted_without_the_audit_log(client, conversation, monkeypatch):
    item = client.post(f"{conversation}/items", {"items": [TEXT]}).document["data"][0]["id"]

    def fail(*entry: Any) -> None:
        with connections[client.store.using].cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr("inspection.audit.record_deletion", fail)
    for path in (f"{conversation}/items/{item}", conversation):
        assert client.delete(path).status == 503
    assert client.get(f"{conversation}/items/{item}").status == 200


@pytest.mark.parametrize("items", [[], [said("new")]], ids=["none", "one"])
def test_what_deletes_nothing_is_not_in_the_log(client, conversation, deletions, items):
    path = f"{conversation}/items"
    added = client.post(path, {"items": [said("a"), said("b")]}).document["data"]
    old = {"HTTP_IF_MATCH": '"0-2-0"'}
    put = f"{path}?from=2"
    for method, each in (
        ("DELETE", conversation),
        ("DELETE", f"{path}/{added[0]['id']}"),
        ("PUT", put),
    ):
        assert client.send(method, each, {"items": items}, **old, **key("k")).status == 412
    assert deletions == []
    assert client.send("PUT", put, {"items": items}, **key("k")).status == 200
    told = list(deletions)
    assert [entry[3] for entry in told] == [None, ""]
    assert client.send("PUT", put, {"items": items}, **old, **key("k")).status == 200
    assert client.send("PUT", f"{path}?from=1", {"items": items}, **key("k")).status == 422
    assert deletions == told


def test_the_log_says_why_a_deletion_failed(client, conversation, deletions, monkeypatch):
    item = client.post(f"{conversation}/items", {"items": [TEXT]}).document["data"][0]["id"]
    changed = Changed("somebody was faster")

    def fail(*_: Any, **__: Any) -> None:
        raise changed

    # Between the look at the revision and the lock, as another client may.
    monkeypatch.setattr("convstore.archive.changes.hide", fail)
    monkeypatch.setattr("convstore.archive.changes.erase_message", fail)
    monkeypatch.setattr("convstore.archive.changes.rewrite", fail)
    assert client.delete(conversation).status == 412
    assert client.delete(f"{conversation}/items/{item}").status == 412
    assert client.send("PUT", f"{conversation}/items?from=1", {"items": []}).status == 412
    assert [entry[3] for entry in deletions] == [None, str(changed)] * 3


def test_a_long_conversation_is_gone_at_once_and_begins_anew(
    client, conversation, monkeypatch, deletions
):
    monkeypatch.setattr(erasure, "BATCH", 3)
    items = [{**said(str(n)), "id": f"mine-{n}"} for n in range(10)]
    client.post(f"{conversation}/items", {"items": items})
    finish = erasure.finish_deletion

    def begin_only(using: str, key: Any) -> bool:
        return finish(using, key, seconds=-1)

    monkeypatch.setattr(erasure, "finish_deletion", begin_only)
    assert client.delete(conversation).status == 503
    (_, begun), (_, failure) = [entry[2:] for entry in deletions]
    assert begun is None
    assert failure
    assert 0 < len(rows_of(client, conversation)) < 10
    assert client.get(conversation).status == 404
    assert client.store.window(conversation[1:], 5) == []
    monkeypatch.setattr(erasure, "finish_deletion", finish)
    # Whoever writes first ends the deletion.
    assert client.store.append(conversation[1:], [Message("user", (Part("text", "new"),))]) == 1
    assert texts(client.get(f"{conversation}/items").document["data"]) == ["new"]
    assert ItemId.objects.using(client.store.using).count() == 0


def test_a_deletion_that_did_not_end_goes_on_with_the_next_request(client, conversation):
    client.post(f"{conversation}/items", {"items": [TEXT]})
    key = conversation_key(conversation[1:])
    erasure.hide(client.store.using, key)
    assert client.delete(conversation).status == 200
    assert Conversation.objects.using(client.store.using).count() == 0
    assert client.delete(conversation).status == 404


# --- At once -----------------------------------------------------------------------------


EACH = 12


def write(client: Client, conversation: str, writer: int) -> None:
    """Write EACH texts by one of four ways."""
    path = f"{conversation}/items"
    for n in range(EACH):
        item = said(f"{writer}-{n}")
        if writer % 4 == 0:
            message = Message("user", (Part("text", f"{writer}-{n}"),))
            client.store.exchange(conversation[1:], [message], 5)
            continue
        items = {
            1: [item],
            2: [{**item, "id": f"{writer}-{n}"}],
            3: [item, {**REASONING, "id": f"rs-{writer}-{n}"}],
        }[writer % 4]
        for _ in range(2 if "id" in items[0] else 1):
            assert client.post(path, {"items": items}).status == 200


def test_eight_writers_through_v2_and_this_door_lose_nothing(client, conversation):
    def write_and_close(writer: int) -> None:
        with closing(connections[client.store.using]):
            write(client, conversation, writer)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write_and_close, range(8)))
    rows = rows_of(client, conversation)
    assert [row.position for row in rows] == list(range(1, 10 * EACH + 1))
    items = all_items(client, conversation)
    said_by = texts([item for item in items if item["type"] == "message"])
    for writer in range(8):
        own = [text for text in said_by if text.startswith(f"{writer}-")]
        assert own == [f"{writer}-{n}" for n in range(EACH)]
    assert len(items) == 10 * EACH


def test_of_many_who_add_the_same_id_one_does(client, conversation):
    path = f"{conversation}/items"

    def add(n: int) -> int:
        with closing(connections[client.store.using]):
            item = {**said(str(n % 2)), "id": "once"}
            status: int = client.post(path, {"items": [item]}).status
            return status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(add, range(8)))
    assert sorted(statuses) == [200] * 4 + [400] * 4
    assert len(rows_of(client, conversation)) == 1
