"""What MLServer's REST answers is what the HTTP door answers, byte for byte, over one database."""

from __future__ import annotations

import json

import pytest

from testing.bodies import (
    append_request,
    append_several_request,
    document,
    new_id,
    read_request,
    tensor,
)
from tests.doors import HttpDoor, RestDoor

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.one_database]

PLAIN = {"Accept-Encoding": "identity"}
TEXTS = {
    "plain": "Hello!",
    "empty": "",
    "other scripts": "é 日本 😀 Людмила עברית",
    "quotes and backslashes": "'\" \\ \\n \\u0041 </script>",
    "every character of Latin-1": "".join(map(chr, range(256))),
    "separators, a BOM and noncharacters": "\u2028\u2029\ufeff\ufffe\uffff\U0010ffff",
    "JSON": '{"role": "system", "content": [1, null]}',
    "long": "x" * 100_000,
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.fixture
def http(service) -> HttpDoor:
    return HttpDoor(service)


@pytest.fixture
def rest(mlserver) -> RestDoor:
    return RestDoor(mlserver)


def assert_same(http, rest, request, memory="memory", **headers: str) -> None:
    one = http.infer(request, memory, **PLAIN, **headers)
    other = rest.infer(request, memory, **PLAIN, **headers)

    assert one.status == other.status == 200
    assert "Content-Encoding" not in other.headers
    assert other.body == one.body
    for name in ("Content-Type", "Content-Length"):
        assert other.headers[name] == one.headers[name]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("fields", [{}, {"parameters": {"window_size": 1}}], ids=["all", "one"])
def test_a_window_is_the_same_bytes_whoever_stored_it(http, rest, text, fields):
    memory_id = new_id() + text.replace("\0", "")[:100]
    http.infer(append_request(memory_id, text, "second", role="system"))
    rest.infer(append_request(memory_id, text, role=text))

    assert_same(http, rest, read_request(memory_id, id="42", **fields))


def test_the_window_of_a_conversation_that_nobody_began_is_the_same_bytes(http, rest):
    assert_same(http, rest, read_request(new_id(), id="42"))


@pytest.mark.parametrize("sent", ["", " ", 'a"b\\c', "x" * 1000])
def test_an_id_is_echoed_in_the_same_bytes(http, rest, sent):
    assert_same(http, rest, read_request(new_id(), id=sent))


@pytest.mark.parametrize(
    "names", [["memory_id"], ["history"], ["history", "memory_id"]], ids=" ".join
)
def test_the_outputs_that_are_asked_for_are_the_same_bytes(http, rest, names):
    memory_id = new_id()
    http.infer(append_request(memory_id, "hello"))

    assert_same(
        http, rest, read_request(memory_id, id="42", outputs=[{"name": each} for each in names])
    )


@pytest.mark.parametrize("memory", ["versioned", "versioned/versions/3"])
def test_a_memory_with_a_version_answers_in_the_same_bytes(http, rest, memory):
    assert_same(http, rest, read_request(new_id(), id="42"), memory)


def test_messages_with_tools_are_the_same_bytes(http, rest):
    memory_id = new_id()
    request = append_several_request(
        memory_id,
        ["user", "assistant", "tool"],
        content=[["Weather?"], [""], ["12 degrees"]],
        tool_calls=[[], [json.dumps(CALL)], []],
        tool_call_id=["", "", "call_1"],
        name=[["Ann", "Björn"], [], []],
    )
    rest.infer(request, "tools")

    assert_same(http, rest, read_request(memory_id, id="42"), "tools")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_addition_that_is_delivered_to_both_is_answered_in_the_same_bytes(http, rest, text):
    request = append_request(new_id(), text, "second", id="42")

    assert_same(http, rest, request, "once", **{"X-Request-Id": new_id()})


def test_a_message_that_is_not_utf8_is_the_same_bytes(http, rest):
    memory_id = new_id()
    http.infer(append_request(memory_id, "é \ud800"))

    assert_same(http, rest, read_request(memory_id, id="42"))


def test_what_one_door_stores_the_others_read_at_once(http, door):
    memory_id = new_id()

    for n in range(0, 10, 2):
        door.infer(append_request(memory_id, str(n)))
        assert http.infer(read_request(memory_id)).texts == list(map(str, range(n + 1)))
        http.infer(append_request(memory_id, str(n + 1)))
        assert door.infer(read_request(memory_id)).texts == list(map(str, range(n + 2)))


def test_a_refusal_is_the_same_bytes(http, rest):
    request = document(tensor("memory_id", [new_id()]), tensor("role", ["user"]))

    one, other = http.infer(request, **PLAIN), rest.infer(request, **PLAIN)

    assert (one.status, other.status) == (400, 422)
    assert other.body == one.body
