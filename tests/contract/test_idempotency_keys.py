"""What a client sends again with its own key is stored once, and answered as it was."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testing.bodies import append_request, append_several_request, new_id, read_request
from tests.doors import GRPC_DOORS, JSON_DOORS, Door, GrpcDoor, HttpDoor, Reply, at, infer_request
from tests.refusals import refusal_sentence
from tests.wire import INFER, Wire

CLIENTS = 16
BY_PARAMETER, BY_HEADER = "parameter", "header"
each_way = pytest.mark.parametrize("way", [BY_PARAMETER, BY_HEADER])


def send(door: Any, request: dict[str, Any], key: str, way: str, memory: str = "memory") -> Reply:
    if way == BY_HEADER:
        reply: Reply = door.infer(request, memory, **{"idempotency-key": key})
        return reply
    parameters = {**request.get("parameters", {}), "idempotency_key": key}
    return door.infer({**request, "parameters": parameters}, memory)  # type: ignore[no-any-return]


def whole(reply: Reply) -> object:
    """All that came back: the bytes, where the protocol has a body."""
    assert reply.status == 200, reply.document
    return reply.body or reply.document


@each_way
def test_a_retry_adds_nothing_and_is_answered_with_the_same_bytes(door, rows, way):
    memory_id, key = new_id(), new_id()
    first = send(door, append_request(memory_id, "hello"), key, way)
    for n in range(3):
        door.infer(append_request(memory_id, str(n)))
    before = rows()

    again = send(door, append_request(memory_id, "hello"), key, way)

    assert whole(again) == whole(first)
    assert rows() == before
    assert again.texts == ["hello"]


def test_a_key_is_the_same_in_a_parameter_and_in_a_header(door):
    memory_id, key = new_id(), new_id()
    replies = [
        send(door, append_request(memory_id, "hello"), key, BY_PARAMETER),
        send(door, append_request(memory_id, "hello"), key, BY_HEADER),
        door.infer(
            append_request(memory_id, "hello", parameters={"idempotency_key": key}),
            **{"idempotency-key": key},
        ),
    ]
    assert [whole(reply) for reply in replies] == [whole(replies[0])] * 3


@each_way
def test_an_id_that_was_sent_is_echoed_by_a_retry(door, way):
    memory_id, key = new_id(), new_id()
    replies = [send(door, append_request(memory_id, "x", id=i), key, way) for i in ("1", "1", "2")]
    assert whole(replies[0]) == whole(replies[1])
    assert [reply.document["id"] for reply in replies] == ["1", "1", "2"]
    assert [reply.texts for reply in replies] == [["x"]] * 3


@at(*JSON_DOORS)
def test_each_key_and_each_conversation_has_an_id_of_its_own(door):
    memory_id, key = new_id(), new_id()
    ids = {
        send(door, append_request(talk, "x"), each, BY_PARAMETER).document["id"]
        for talk in (memory_id, new_id())
        for each in (key, new_id())
    }
    assert len(ids) == 4


@each_way
def test_clients_that_send_one_key_at_once_add_one_message_and_get_one_answer(door, way):
    memory_id, key = new_id(), new_id()
    door.infer(append_request(memory_id, "before"))
    with ThreadPoolExecutor(CLIENTS) as threads:
        sent = [
            threads.submit(send, door, append_request(memory_id, "hello"), key, way)
            for _ in range(CLIENTS)
        ]
        noise = [threads.submit(door.infer, append_request(memory_id, "noise")) for _ in range(4)]
    answers = [whole(each.result()) for each in sent]
    assert answers == [answers[0]] * CLIENTS
    assert {each.result().status for each in noise} == {200}
    texts = door.infer(read_request(memory_id)).texts
    assert sorted(texts) == ["before", "hello", *["noise"] * 4]


def test_a_retry_may_ask_for_a_window_of_its_own(door):
    memory_id, key = new_id(), new_id()
    for n in range(4):
        door.infer(append_request(memory_id, str(n)))
    send(door, append_request(memory_id, "hello"), key, BY_PARAMETER)
    door.infer(append_request(memory_id, "later"))

    request = append_request(memory_id, "hello", parameters={"window_size": 2})
    assert send(door, request, key, BY_PARAMETER).texts == ["3", "hello"]
    request = append_request(memory_id, "hello", parameters={"window_size": 50})
    assert send(door, request, key, BY_PARAMETER).texts == ["0", "1", "2", "3", "hello"]


OTHERS = {
    "another text": lambda memory_id: append_request(memory_id, "bye"),
    "another role": lambda memory_id: append_request(memory_id, "hello", role="assistant"),
    "another part": lambda memory_id: append_request(memory_id, "hello", "more"),
    "more messages": lambda memory_id: append_several_request(
        memory_id, ["user", "user"], content=[["hello"], ["more"]]
    ),
}


@each_way
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_key_with_another_message_is_refused_and_nothing_is_written(door, rows, way, other):
    memory_id, key = new_id(), new_id()
    send(door, append_request(memory_id, "hello"), key, way)
    before = rows()

    reply = send(door, other(memory_id), key, way)

    assert reply.status == 422
    assert refusal_sentence(reply) == (
        "this idempotency key came before with other content in this conversation; nothing was"
        " stored now; use a new key for each new request"
    )
    assert rows() == before
    assert send(door, append_request(memory_id, "hello"), key, way).texts == ["hello"]


def test_a_key_with_fewer_messages_is_refused(door, rows):
    memory_id, key = new_id(), new_id()
    several = append_several_request(memory_id, ["user", "user"], content=[["a"], ["b"]])
    first = send(door, several, key, BY_PARAMETER)
    before = rows()

    assert send(door, append_request(memory_id, "a"), key, BY_PARAMETER).status == 422
    assert rows() == before
    assert whole(send(door, several, key, BY_PARAMETER)) == whole(first)
    assert first.texts == ["a", "b"]


def test_a_retry_at_another_door_has_the_same_outputs(door, service):
    memory_id, key = new_id(), new_id()
    first = send(HttpDoor(service), append_request(memory_id, "hello"), key, BY_HEADER)
    door.infer(append_request(memory_id, "later"))

    again = send(door, append_request(memory_id, "hello"), key, BY_HEADER)

    assert again.document["outputs"] == first.document["outputs"]


def test_a_key_is_one_of_its_conversation_and_of_its_memory(door):
    memory_id, key = new_id(), new_id()
    for talk, memory, texts in (
        (memory_id, "memory", ["x"]),
        (new_id(), "memory", ["x"]),
        (memory_id, "default", ["x", "x"]),
        (memory_id, "memory", ["x"]),
    ):
        assert send(door, append_request(talk, "x"), key, BY_HEADER, memory).texts == texts


def test_the_next_version_of_a_step_knows_the_keys_of_the_one_before(door):
    memory_id, key = new_id(), new_id()
    for memory in ("once", "once_1"):
        reply = send(door, append_request(memory_id, "x"), key, BY_HEADER, memory)
    assert reply.texts == ["x"]


def test_a_request_that_only_reads_stays_a_read_whatever_its_key(door, rows):
    memory_id, key = new_id(), new_id()
    send(door, append_request(memory_id, "x"), key, BY_HEADER)
    door.infer(append_request(memory_id, "y"))
    before = rows()

    assert send(door, read_request(memory_id), key, BY_HEADER).texts == ["x", "y"]
    assert send(door, read_request(memory_id), new_id(), BY_PARAMETER).texts == ["x", "y"]
    assert rows() == before


def test_a_clients_key_comes_before_the_id_of_its_request(door):
    memory_id, rid = new_id(), {"x-request-id": new_id()}
    for key in ("1", "2", "1"):
        request = append_request(memory_id, "x", parameters={"idempotency_key": key})
        reply = door.infer(request, "once", **rid)
    assert reply.texts == ["x"]
    assert door.infer(read_request(memory_id), "once").texts == ["x", "x"]


def test_a_null_key_is_none_at_all(door):
    memory_id = new_id()
    request = append_request(memory_id, "x", parameters={"idempotency_key": None})
    for _ in range(2):
        reply = door.infer(request)
    assert reply.texts == ["x", "x"]


@pytest.mark.parametrize("key", ["x" * 255, "é 😀\n", '"quoted"', "a,b"], ids=str)
def test_a_key_is_any_text_of_1_to_255_characters(door, key):
    memory_id = new_id()
    for _ in range(2):
        reply = send(door, append_request(memory_id, "x"), key, BY_PARAMETER)
    assert reply.texts == ["x"]


WRONG: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "empty": ({"idempotency_key": ""}, {}, "has 0 characters; it must have 1 to 255"),
    "too long": ({"idempotency_key": "x" * 256}, {}, "has 256 characters"),
    "a number": ({"idempotency_key": 7}, {}, "is a number; it must be a string"),
    "a boolean": ({"idempotency_key": True}, {}, "is a boolean; it must be a string"),
    "too long a header": ({}, {"idempotency-key": "x" * 256}, "has 256 characters"),
    "two keys": ({"idempotency_key": "a"}, {"idempotency-key": "b"}, "differ; send one of them"),
}


@pytest.mark.parametrize(("parameters", "headers", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_key_is_refused_and_nothing_is_written(door, rows, parameters, headers, sentence):
    before = rows()
    for request in (append_request(new_id(), "x"), read_request(new_id())):
        reply = door.infer({**request, "parameters": parameters}, **headers)
        assert reply.status == door.bad_request
        assert sentence in refusal_sentence(reply)
    assert rows() == before


def send_headers(door: Door, request: dict[str, Any], *headers: tuple[str, str]) -> Reply:
    """Send the request to `memory` with these headers, of which two may have one name."""
    if isinstance(door, GrpcDoor):
        return door.send(infer_request(request, door.raw, model_name="memory"), *headers)
    body = json.dumps(request)
    sent = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{name}: {value}" for name, value in [*sent.items(), *headers]]
    with Wire(door.service) as wire:
        wire.send("\r\n".join([f"POST {INFER} HTTP/1.1", *lines, "", body]).encode())
        reply = wire.reply()
    assert reply is not None
    return Reply(reply.status, reply.document, reply.body)


@pytest.mark.parametrize("keys", [("a", "b"), ("a", "a"), ("a,b",), ("a, b",)], ids=str)
def test_a_header_that_was_sent_twice_is_refused_with_one_sentence(door, rows, keys):
    before = rows()
    sent = [("idempotency-key", key) for key in keys]
    reply = send_headers(door, append_request(new_id(), "x"), *sent)
    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        "header 'Idempotency-Key' has a comma, or was sent twice; send it once, and a key with a"
        " comma as parameter 'idempotency_key'"
    )
    assert rows() == before


MISSPELT = [
    *("idempotency_key", "x-idempotency-key", "x_idempotency_key", "idempotencykey"),
    *("idempotency-keys", "idempotenci-key", "idempotency-kye"),
]


@pytest.mark.parametrize("name", MISSPELT)
def test_a_header_that_is_nearly_the_keys_is_refused_with_one_sentence(door, rows, name):
    before = rows()
    reply = send_headers(door, append_request(new_id(), "x"), (name, "k"))
    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        f"there is no header \"{name}\"; did you mean 'Idempotency-Key'? If not, choose a name"
        " that differs more"
    )
    assert rows() == before


def test_other_headers_are_nobodys_business(door):
    others = [("x_tenant", "a"), ("x-tenant", "b"), ("x-tenant", "c"), ("my-idempotency-key", "k")]
    assert send_headers(door, append_request(new_id(), "x"), *others).texts == ["x"]


@at(*JSON_DOORS)
def test_a_header_of_other_characters_is_refused(door, rows):
    before = rows()
    reply = door.infer(append_request(new_id(), "x"), **{"idempotency-key": "é".encode()})
    assert reply.status == door.bad_request
    assert "send such a key as parameter 'idempotency_key'" in refusal_sentence(reply)
    assert rows() == before


@at(*GRPC_DOORS)
def test_without_an_id_a_retry_has_none_in_grpc_either(door):
    memory_id, key = new_id(), new_id()
    for _ in range(2):
        reply = send(door, append_request(memory_id, "x"), key, BY_HEADER)
        assert reply.document["id"] == ""


# --- Positions ---------------------------------------------------------------------------


def test_a_reply_says_the_positions_of_its_window_if_it_is_asked(door):
    memory_id, asked = new_id(), {"positions": True}
    for n in range(5):
        reply = door.infer(append_request(memory_id, str(n), parameters=asked))
    assert reply.document["parameters"] == {"first_position": 1, "last_position": 5}

    small = door.infer(read_request(memory_id, parameters={**asked, "window_size": 2}))
    assert small.texts == ["3", "4"]
    assert small.document["parameters"] == {"first_position": 4, "last_position": 5}


def test_a_pinned_message_is_the_first_of_a_window(door):
    memory_id = new_id()
    for role in ("system", "user", "assistant", "user"):
        door.infer(append_request(memory_id, role, role=role))
    reply = door.infer(read_request(memory_id, parameters={"positions": True, "window_size": 2}))
    assert reply.document["parameters"] == {"first_position": 1, "last_position": 4}


def test_an_empty_window_has_no_positions(door):
    reply = door.infer(read_request(new_id(), parameters={"positions": True}))
    assert reply.document["parameters"] == {}


@pytest.mark.parametrize("parameters", [{}, {"positions": False}, {"positions": None}], ids=str)
def test_by_default_a_reply_has_no_parameters(door, parameters):
    reply = door.infer(append_request(new_id(), "x", parameters=parameters))
    assert reply.document["parameters"] == {}


def test_a_retry_says_the_positions_of_its_first_answer(door):
    memory_id, key = new_id(), new_id()
    request = append_request(memory_id, "x", parameters={"positions": True})
    first = send(door, request, key, BY_HEADER)
    door.infer(append_request(memory_id, "later"))
    assert whole(send(door, request, key, BY_HEADER)) == whole(first)
    assert first.document["parameters"] == {"first_position": 1, "last_position": 1}
