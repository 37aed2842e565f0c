"""What a memory answers: requests, messages, windows and replies, through every door."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.bodies import (
    append_request,
    append_several_request,
    document,
    new_id,
    read_request,
    tensor,
)
from tests.doors import GRPC_DOORS, JSON_DOORS, MLSERVER_DOORS, HttpDoor, Reply, at

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
OTHER_CALL = {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}}


def element(role: str, *parts: object, **also: Any) -> str:
    """A history element of text parts, as Python's json.dumps spaces it."""
    content = [{"type": "text", "value": part} for part in parts]
    return json.dumps({"role": role, "content": content, **also}, ensure_ascii=False)


def new_conversation(door, *roles: str, memory_id: str | None = None) -> str:
    """A conversation of one message per role, their texts being 0, 1, 2, ...; its id."""
    memory_id = memory_id or new_id()
    for n, role in enumerate(roles):
        assert door.infer(append_request(memory_id, str(n), role=role)).status == 200
    return memory_id


def output(reply: Reply, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [out for out in reply.document["outputs"] if out["name"] == name]
    return found


# --- Reading -----------------------------------------------------------------------------


def test_a_read_of_an_unknown_id_answers_an_empty_history(door):
    memory_id = new_id()

    reply = door.infer(read_request(memory_id))

    assert reply.status == 200
    assert output(reply, "memory_id")["data"] == [memory_id]
    assert output(reply, "history") == {
        "name": "history",
        "shape": [0, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "str"},
        "data": [],
    }


def test_a_read_of_an_unknown_id_does_not_make_a_conversation(door, rows):
    before = rows()

    door.infer(read_request(new_id()))

    assert rows() == before


def test_a_read_changes_nothing(door, rows):
    memory_id = new_conversation(door, "user", "assistant")
    before = rows()

    replies = [door.infer(read_request(memory_id)) for _ in range(3)]

    assert [reply.texts for reply in replies] == [["0", "1"]] * 3
    assert rows() == before


def test_a_read_sees_what_another_client_added(door):
    memory_id = new_conversation(door, "user")

    door.infer(append_request(memory_id, "later"))

    assert door.infer(read_request(memory_id)).texts == ["0", "later"]


def test_tensors_that_make_no_message_leave_a_read_a_read(door, rows):
    memory_id = new_conversation(door, "user")
    before = rows()

    reply = door.infer(document(tensor("memory_id", [memory_id]), tensor("output_all", ["x"])))

    assert reply.texts == ["0"]
    assert rows() == before


# --- One message -------------------------------------------------------------------------


def test_a_message_is_last_in_the_reply_that_added_it(door):
    memory_id = new_conversation(door, "user", "assistant")

    reply = door.infer(append_request(memory_id, "2"))

    assert reply.texts == ["0", "1", "2"]


def test_a_message_adds_one_row_and_its_conversation_once(door, rows):
    memory_id = new_id()
    conversations, messages = rows()

    door.infer(append_request(memory_id, "a"))
    door.infer(append_request(memory_id, "b"))

    assert rows() == (conversations + 1, messages + 2)


def test_the_same_message_twice_is_two_messages(door):
    memory_id = new_id()

    replies = [door.infer(append_request(memory_id, "again", id="same")) for _ in range(2)]

    assert replies[-1].texts == ["again", "again"]


def test_one_role_is_one_message_of_several_parts(door):
    reply = door.infer(append_request(new_id(), "first", "second", "third"))

    assert reply.history == [element("user", "first", "second", "third")]


def test_seldons_message_of_two_parts_declares_a_shape_of_one(door):
    parts = ["This is the first input", "This is the second input"]
    request = append_request(new_id(), *parts)
    assert [sent["shape"] for sent in request["inputs"]] == [[1]] * 4

    reply = door.infer(request)

    assert reply.history == [element("user", *parts)]


@pytest.mark.parametrize("shape", [[], [0], [1], [1, 1], [7], [2, 3]], ids=str)
def test_the_data_counts_and_not_the_declared_shape(door, shape):
    memory_id = new_id()
    request = document(
        tensor("memory_id", [memory_id], shape=shape),
        tensor("role", ["user"], shape=shape),
        tensor("content", ["a", "b"], shape=shape),
        tensor("type", ["text", "text"], shape=shape),
    )

    assert door.infer(request).history == [element("user", "a", "b")]


def test_each_part_has_its_own_type(door):
    parts = [("text", "what is this?"), ("image_url", "https://x/y.png"), ("audio", "UklGRg==")]
    request = document(
        tensor("memory_id", [new_id()]),
        tensor("role", ["user"]),
        tensor("content", [value for _, value in parts]),
        tensor("type", [kind for kind, _ in parts]),
    )

    (message,) = door.infer(request).messages

    assert message["content"] == [{"type": kind, "value": value} for kind, value in parts]


def test_without_types_all_parts_are_text(door):
    request = document(
        tensor("memory_id", [new_id()]), tensor("role", ["user"]), tensor("content", ["a", "b"])
    )

    assert door.infer(request).history == [element("user", "a", "b")]


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "", "Людмила", "x" * 999])
def test_a_role_is_any_text(door, role):
    reply = door.infer(append_request(new_id(), "hello", role=role))

    assert reply.history == [element(role, "hello")]


def test_the_order_of_the_tensors_does_not_matter(door):
    request = append_request(new_id(), "a", "b")
    request["inputs"].reverse()

    assert door.infer(request).history == [element("user", "a", "b")]


def test_a_tensor_needs_no_parameters(door):
    request = append_request(new_id(), "hello")
    for sent in request["inputs"]:
        del sent["parameters"]

    assert door.infer(request).history == [element("user", "hello")]


def test_a_memory_of_contents_alone_stores_them(door):
    request = document(tensor("memory_id", [new_id()]), tensor("content", ["a", "b"]))

    (message,) = door.infer(request, "contents").messages

    assert [part["value"] for part in message["content"]] == ["a", "b"]


# --- How data is nested, which in gRPC it cannot be --------------------------------------


@at(*JSON_DOORS)
@pytest.mark.parametrize(
    "data",
    [
        ["a", "b", "c"],
        [["a"], ["b"], ["c"]],
        [["a", "b", "c"]],
        [["a", "b"], ["c"]],
        ["a", ["b", ["c"]]],
        [[], ["a", []], [[["b"]], "c"]],
    ],
    ids=json.dumps,
)
def test_nested_data_is_flattened_row_major(door, data):
    request = document(
        tensor("memory_id", [new_id()]), tensor("role", ["user"]), tensor("content", data)
    )

    assert door.infer(request).history == [element("user", "a", "b", "c")]


@at(*JSON_DOORS)
def test_every_tensor_may_be_nested(door):
    memory_id = new_id()
    request = document(
        tensor("memory_id", [[memory_id]]),
        tensor("role", [["user"]]),
        tensor("content", [["a"], ["b"]]),
        tensor("type", [["text"], ["image"]]),
    )

    reply = door.infer(request)

    assert output(reply, "memory_id")["data"] == [memory_id]
    (message,) = reply.messages
    assert [part["type"] for part in message["content"]] == ["text", "image"]


@at(*JSON_DOORS)
def test_a_bare_string_is_one_element(door):
    request = document(
        tensor("memory_id", new_id()), tensor("role", "user"), tensor("content", "hello")
    )

    assert door.infer(request).history == [element("user", "hello")]


def leaves(data: object) -> list[object]:
    return [leaf for item in data for leaf in leaves(item)] if isinstance(data, list) else [data]


WORDS = st.text("abc", max_size=3)
NESTED = st.lists(st.recursive(WORDS, st.lists, max_leaves=12)).filter(leaves)


@at(*JSON_DOORS)
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=NESTED)
def test_nested_data_means_the_same_as_flat_data(door, data):
    memory_id = new_id()

    for sent in (data, leaves(data)):
        request = document(
            tensor("memory_id", [memory_id]), tensor("role", ["user"]), tensor("content", sent)
        )
        history = door.infer(request).history

    assert history[0] == history[1] == element("user", *leaves(data))


# --- Several messages --------------------------------------------------------------------


def test_several_roles_are_several_messages_in_order(door):
    request = append_several_request(
        new_id(),
        ["system", "user", "assistant"],
        content=[["Be brief."], ["Hello!"], ["Hi."]],
        type=[["text"], ["text"], ["text"]],
    )

    assert door.infer(request).history == [
        element("system", "Be brief."),
        element("user", "Hello!"),
        element("assistant", "Hi."),
    ]


def test_several_messages_follow_what_was_there(door):
    memory_id = new_conversation(door, "user", "assistant")

    reply = door.infer(
        append_several_request(memory_id, ["user", "assistant"], content=[["2"], ["3"]])
    )

    assert reply.texts == ["0", "1", "2", "3"]


def test_each_of_several_messages_has_parts_and_types_of_its_own(door):
    request = append_several_request(
        new_id(),
        ["user", "user"],
        content=[["look", "https://x/y.png"], ["well?"]],
        type=[["text", "image_url"], ["text"]],
    )

    first, second = door.infer(request).messages

    assert first["content"] == [
        {"type": "text", "value": "look"},
        {"type": "image_url", "value": "https://x/y.png"},
    ]
    assert second["content"] == [{"type": "text", "value": "well?"}]


@pytest.mark.parametrize("types", [{}, {"type": [[], []]}], ids=["absent", "empty strings"])
def test_several_messages_without_types_are_text(door, types):
    request = append_several_request(
        new_id(), ["user", "user"], content=[["a", "b"], ["c"]], **types
    )

    assert door.infer(request).history == [element("user", "a", "b"), element("user", "c")]


def test_an_empty_text_in_a_list_is_a_part(door):
    request = append_several_request(new_id(), ["assistant", "user"], content=[[""], ["a"]])

    assert door.infer(request).history == [element("assistant", ""), element("user", "a")]


@at(*JSON_DOORS)
def test_several_messages_may_be_nested_and_declare_any_shape(door):
    request = document(
        tensor("memory_id", [new_id()]),
        tensor("role", [["user"], ["assistant"]]),
        tensor("content", [['["a"]'], ['["b"]']], shape=[9]),
    )

    assert door.infer(request).history == [element("user", "a"), element("assistant", "b")]


def test_of_several_messages_the_reply_holds_the_window(door):
    roles = ["system"] + ["user"] * 9

    reply = door.infer(
        append_several_request(new_id(), roles, content=[[str(n)] for n in range(10)]), "four"
    )

    assert reply.texts == ["0", "7", "8", "9"]


@pytest.mark.parametrize("bad", ["", "not JSON", "[1]", '["a", null]', '{"a": 1}', '"a"'])
def test_of_several_messages_all_are_added_or_none(door, rows, bad):
    memory_id = new_conversation(door, "user")
    before = rows()

    reply = door.infer(append_several_request(memory_id, ["user"] * 3, content=[["1"], ["2"], bad]))

    assert reply.status == door.bad_request
    assert rows() == before
    assert door.infer(read_request(memory_id)).texts == ["0"]


def test_while_thousands_of_messages_are_added_others_are_served(door):
    memory_id, neighbour, statuses = new_id(), new_id(), []
    as_many_as_allowed = append_several_request(memory_id, ["user"] * 1000, content=[["a"]] * 1000)

    with ThreadPoolExecutor(1) as thread:
        adding = [thread.submit(door.infer, as_many_as_allowed) for _ in range(6)]
        while not adding[-1].done():
            statuses.append(door.infer(append_request(neighbour, "hello")).status)

    assert [each.result().texts for each in adding] == [["a"] * 50] * 6
    assert set(statuses) == {200}


# --- Tools -------------------------------------------------------------------------------


def test_tool_calls_of_one_message_come_back_as_objects_after_the_content(door):
    request = document(
        tensor("memory_id", [new_id()]),
        tensor("tool_calls", [json.dumps(CALL), json.dumps(OTHER_CALL)]),
        tensor("role", ["assistant"]),
        tensor("content", [""]),
        tensor("type", ["text"]),
    )

    (history,) = door.infer(request, "tools").history

    assert history == element("assistant", "", tool_calls=[CALL, OTHER_CALL])


def test_a_tool_answer_comes_back_with_the_id_of_its_call(door):
    request = document(
        tensor("memory_id", [new_id()]),
        tensor("role", ["tool"]),
        tensor("content", ["12 degrees"]),
        tensor("tool_call_id", ["call_1"]),
    )

    (history,) = door.infer(request, "tools").history

    assert history == element("tool", "12 degrees", tool_call_id="call_1")


def test_a_tool_call_may_come_without_content(door):
    request = document(
        tensor("memory_id", [new_id()]),
        tensor("role", ["assistant"]),
        tensor("content", []),
        tensor("tool_calls", [json.dumps(CALL)]),
    )

    (message,) = door.infer(request, "tools").messages

    assert message == {"role": "assistant", "content": [], "tool_calls": [CALL]}


@pytest.mark.parametrize(
    "tensors",
    [{"tool_calls": [""], "tool_call_id": [""]}, {"tool_calls": [], "tool_call_id": []}],
    ids=["empty strings", "no elements"],
)
def test_tool_tensors_that_hold_nothing_leave_a_plain_message(door, tensors):
    request = append_request(new_id(), "hello")
    request["inputs"] += [tensor(name, data) for name, data in tensors.items()]

    assert door.infer(request, "tools").history == [element("user", "hello")]


def test_a_whole_tool_conversation_as_seldons_translator_sends_it(door):
    request = append_several_request(
        new_id(),
        ["system", "user", "assistant", "tool", "assistant"],
        content=[["Be brief."], ["Weather in Paris?"], [""], ["12 degrees"], ["Mild."]],
        type=[["text"]] * 5,
        # Each call is a JSON string inside a JSON list that is itself a string.
        tool_calls=[[], [], [json.dumps(CALL), json.dumps(OTHER_CALL)], [], []],
        tool_call_id=["", "", "", "call_1", ""],
    )
    assert request["inputs"][4]["data"][2].startswith('["{\\"id\\"')

    assert door.infer(request, "tools").history == [
        element("system", "Be brief."),
        element("user", "Weather in Paris?"),
        element("assistant", "", tool_calls=[CALL, OTHER_CALL]),
        element("tool", "12 degrees", tool_call_id="call_1"),
        element("assistant", "Mild."),
    ]


def test_tool_calls_may_be_objects_inside_the_list(door):
    request = append_several_request(
        new_id(), ["user", "assistant"], content=[["a"], [""]], tool_calls=[[], [CALL]]
    )

    assert door.infer(request, "tools").messages[1]["tool_calls"] == [CALL]


def test_a_tool_call_id_in_a_list_is_the_same_as_plain(door):
    memory_id = new_id()

    for ids in (["", "call_1"], [[], ["call_1"]]):
        request = append_several_request(
            memory_id, ["user", "tool"], content=[["a"], ["b"]], tool_call_id=ids
        )
        history = door.infer(request, "tools").history

    assert history[1] == history[3] == element("tool", "b", tool_call_id="call_1")


def test_of_several_messages_some_may_have_calls_and_no_content(door):
    request = append_several_request(
        new_id(), ["user", "assistant"], content=[["a"], []], tool_calls=[[], [json.dumps(CALL)]]
    )

    assert door.infer(request, "tools").messages[1] == {
        "role": "assistant",
        "content": [],
        "tool_calls": [CALL],
    }


def test_a_tool_call_keeps_its_keys_values_and_their_order(door):
    call = {"z": 1, "a": [True, None, 1.5, {"é": "\u2028"}], "m": {}, "big": 10**30}
    request = append_request(new_id(), "", role="assistant")
    sent = json.dumps(call, ensure_ascii=False)
    request["inputs"].append(tensor("tool_calls", [sent]))

    (history,) = door.infer(request, "tools").history

    assert history == element("assistant", "", tool_calls=[call])


TO_THE_LETTER = [
    '{"amount":12345678901234567.89,"price":1.10,"eps":1E-7,"minus":-0}',
    '{ "a":1,"a" : 2 }',
    '{"text":"\\u00e9\\ud83d\\ude00\\ud800\\/\\n", "é":"é"}',
    ' {\n\t"id": "1"\r\n} ',
    '{"big":' + "9" * 400 + "}",
]


def test_tool_calls_are_kept_to_the_letter(door):
    memory_id = new_id()
    one = append_request(memory_id, "", role="assistant")
    one["inputs"].append(tensor("tool_calls", TO_THE_LETTER))
    # A call may be a text in the list, or an object.
    several = append_several_request(
        memory_id,
        ["assistant", "assistant"],
        content=[[""], [""]],
        tool_calls=[TO_THE_LETTER, f"[{' , '.join(TO_THE_LETTER)}\n]"],
    )
    expected = element("assistant", "", tool_calls=[])[:-2] + ", ".join(TO_THE_LETTER) + "]}"
    as_objects = (
        element("assistant", "", tool_calls=[])[:-2]
        + ", ".join(each.strip() for each in TO_THE_LETTER)
        + "]}"
    )

    door.infer(one, "tools")
    assert door.infer(several, "tools").history == [expected, expected, as_objects]


@at("http")
def test_a_tool_call_beside_a_lone_surrogate_is_escaped_with_its_message(door):
    request = append_request(new_id(), "\ud800", role="assistant")
    request["inputs"].append(tensor("tool_calls", ['{"é":"\U0001f600", "n":1.10}']))

    (history,) = door.infer(request, "tools").history

    assert history.isascii()
    assert history.endswith(', "tool_calls": [{"\\u00e9":"\\ud83d\\ude00", "n":1.10}]}')


@at(*JSON_DOORS)
def test_a_tool_call_may_be_an_object_in_the_data(door):
    request = append_request(new_id(), "", role="assistant")
    request["inputs"].append(tensor("tool_calls", [CALL, json.dumps(CALL)]))

    assert door.infer(request, "tools").messages[0]["tool_calls"] == [CALL, CALL]


# --- Other tensors -----------------------------------------------------------------------


def test_another_stored_tensor_comes_back_as_a_list_after_the_content(door):
    request = append_request(new_id(), "hello")
    request["inputs"].insert(0, tensor("name", ["Ann", "Björn"]))

    (history,) = door.infer(request, "tools").history

    assert history == element("user", "hello", name=["Ann", "Björn"])


def test_another_stored_tensor_belongs_to_its_message_among_several(door):
    request = append_several_request(
        new_id(), ["user", "user"], content=[["a"], ["b"]], name=[[], ["Ann", "Björn"]]
    )

    assert door.infer(request, "tools").history == [
        element("user", "a"),
        element("user", "b", name=["Ann", "Björn"]),
    ]


def test_what_is_kept_beside_the_content_has_the_order_of_the_settings(door):
    request = append_request(new_id(), "hello")
    request["inputs"] += [
        tensor("name", ["Ann"]),
        tensor("tool_call_id", ["call_1"]),
        tensor("tool_calls", [json.dumps(CALL)]),
    ]

    (message,) = door.infer(request, "tools").messages

    assert list(message) == ["role", "content", "tool_calls", "tool_call_id", "name"]


IGNORED = {
    "text": [tensor("output_all", ["{}"])],
    "numbers": [tensor("logits", [[0.5, 1e-9], [2, -3]], datatype="FP32", shape=[2, 2])],
    "no data": [tensor("empty", [], shape=[0])],
    "a doubled name": [tensor("output_all", ["a"]), tensor("output_all", ["b"])],
    "other names": [tensor("speaker", ["assistant"]), tensor("the content", ["x"])],
    "tools this memory does not keep": [
        tensor("tool_calls", ["not JSON"]),
        tensor("tool_call_id", ["a", "b"]),
        tensor("name", [1], datatype="INT64"),
    ],
}


@pytest.mark.parametrize("tensors", IGNORED.values(), ids=IGNORED)
def test_tensors_that_are_not_the_memorys_are_ignored(door, tensors):
    request = append_request(new_id(), "hello")
    request["inputs"] = [*tensors, *request["inputs"]]

    assert door.infer(request).history == [element("user", "hello")]


@at("http", "grpc")
def test_a_tensor_of_an_unknown_datatype_is_ignored(door):
    request = append_request(new_id(), "hello")
    request["inputs"] += [tensor("odd", [1], datatype="COMPLEX64")]

    assert door.infer(request).history == [element("user", "hello")]


@at("rest")
def test_an_unknown_datatype_is_not_of_mlservers_grammar(door, rows):
    request = append_request(new_id(), "hello")
    request["inputs"] += [tensor("odd", [1], datatype="COMPLEX64")]
    before = rows()

    reply = door.infer(request)

    assert reply.status == 422
    assert [fault["type"] for fault in reply.document["detail"]] == ["enum"]
    assert rows() == before


@at("grpc-raw")
def test_an_unknown_datatype_is_not_unpacked_by_mlserver(door, rows):
    request = append_request(new_id(), "hello")
    request["inputs"] += [tensor("odd", [1], datatype="COMPLEX64")]
    before = rows()

    reply = door.infer(request)

    assert (reply.status, reply.document["error"]) == (500, "'COMPLEX64' is not a valid Datatype")
    assert rows() == before


@at(*JSON_DOORS)
def test_objects_and_nulls_in_another_tensor_are_ignored(door):
    request = append_request(new_id(), "hello")
    request["inputs"] += [tensor("odd", [{"a": None}, None, True])]

    assert door.infer(request).history == [element("user", "hello")]


def test_parameters_that_a_memory_does_not_know_are_ignored(door):
    request = append_request(
        new_id(), "hello", parameters={"temperature": "0.5", "priority": 1, "n": True}
    )
    request["inputs"][2]["parameters"] = {"content_type": "str", "extra": 1}

    assert door.infer(request).history == [element("user", "hello")]


@at(*JSON_DOORS)
def test_fields_and_nested_parameters_that_a_memory_does_not_know_are_ignored(door):
    request = append_request(
        new_id(),
        "hello",
        extra={"a": [1]},
        parameters={"llm_parameters": {"temperature": 0.5}, "kwargs": {}, "priority": 1},
    )
    request["inputs"][2]["extra"] = None

    assert door.infer(request).history == [element("user", "hello")]


@at(*JSON_DOORS)
def test_nulls_stand_for_what_is_absent(door):
    request = append_request(new_id(), "hello", id=None, parameters=None, outputs=None)
    request["inputs"][2]["parameters"] = None

    assert door.infer(request).history == [element("user", "hello")]


def test_base64_content_is_kept_as_the_base64_that_it_is(door):
    request = append_request(new_id(), "aGVsbG8=")
    request["inputs"][2]["parameters"] = {"content_type": "base64"}

    assert door.infer(request).history == [element("user", "aGVsbG8=")]


# --- The window --------------------------------------------------------------------------


def test_seldons_postgresql_conversation_comes_back_as_printed(door):
    memory_id = new_id()
    conversation = [
        ("system", "You are a helpful assistant"),
        ("user", "Hi! How are you doing today?"),
        ("assistant", "I'm doing great, how about you?"),
        ("user", "I'm doing well too. I have a question for you."),
        ("assistant", "Sure, what's your question?"),
    ]
    for role, text in conversation:
        door.infer(append_request(memory_id, text, role=role))
    every = [element(role, text) for role, text in conversation]

    assert door.infer(read_request(memory_id), "four").history == [every[0], *every[2:]]
    assert door.infer(read_request(memory_id), "memory").history == every


def test_the_window_is_ten_messages_unless_the_settings_say_otherwise(door):
    memory_id = new_conversation(door, *["user"] * 12)

    assert door.infer(read_request(memory_id), "default").texts == [str(n) for n in range(2, 12)]


def test_a_window_of_one_is_the_newest_message(door):
    memory_id = new_conversation(door, "system", "user")

    assert door.infer(read_request(memory_id), "one").texts == ["1"]
    assert door.infer(append_request(memory_id, "2"), "one").texts == ["2"]


@pytest.mark.parametrize("first", ["system", "developer"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, ["5"]),
        (2, ["0", "5"]),
        (3, ["0", "4", "5"]),
        (5, ["0", "2", "3", "4", "5"]),
        (6, ["0", "1", "2", "3", "4", "5"]),
        (7, ["0", "1", "2", "3", "4", "5"]),
    ],
)
def test_a_first_system_message_is_pinned_and_counts(door, first, size, expected):
    memory_id = new_conversation(door, first, "user", "assistant", "user", "assistant")
    parameters = {"window_size": size}

    assert door.infer(append_request(memory_id, "5", parameters=parameters)).texts == expected
    assert door.infer(read_request(memory_id, parameters=parameters)).texts == expected


@pytest.mark.parametrize("first", ["user", "assistant", "System", "system ", "sys\0tem", ""])
def test_a_first_message_of_another_role_is_not_pinned(door, first):
    memory_id = new_conversation(door, first, "user", "user", "user", "user")

    assert door.infer(read_request(memory_id), "four").texts == ["1", "2", "3", "4"]


def test_a_later_system_message_is_not_pinned(door):
    memory_id = new_conversation(door, "user", "system", "user", "user", "user", "user")

    assert door.infer(read_request(memory_id), "four").texts == ["2", "3", "4", "5"]


def test_of_two_system_messages_the_first_is_pinned(door):
    memory_id = new_conversation(door, "system", "system", "user", "user", "user")

    assert door.infer(read_request(memory_id), "four").texts == ["0", "2", "3", "4"]


def test_a_request_may_ask_for_a_window_of_its_own(door):
    memory_id = new_conversation(door, *["user"] * 6)

    smaller = door.infer(read_request(memory_id, parameters={"window_size": 2}), "four")
    larger = door.infer(read_request(memory_id, parameters={"window_size": 5}), "four")
    after = door.infer(read_request(memory_id), "four")

    assert smaller.texts == ["4", "5"]
    assert larger.texts == ["1", "2", "3", "4", "5"]
    assert after.texts == ["2", "3", "4", "5"]


@at(*JSON_DOORS)
def test_the_older_form_of_the_window_size_is_accepted(door):
    memory_id = new_conversation(door, *["user"] * 6)
    parameters = {"memory_parameters": {"window_size": 2}}

    assert door.infer(read_request(memory_id, parameters=parameters)).texts == ["4", "5"]


@at(*JSON_DOORS)
def test_of_both_forms_of_the_window_size_the_newer_counts(door):
    memory_id = new_conversation(door, *["user"] * 6)
    parameters = {"window_size": 3, "memory_parameters": {"window_size": 2}}

    assert door.infer(read_request(memory_id, parameters=parameters)).texts == ["3", "4", "5"]


@pytest.mark.parametrize("name", ["window_size", "memory_parameters"])
def test_a_null_window_size_is_none_at_all(door, name):
    memory_id = new_conversation(door, *["user"] * 6)

    reply = door.infer(read_request(memory_id, parameters={name: None}), "two")

    assert reply.texts == ["4", "5"]


@at(*JSON_DOORS)
def test_a_null_window_size_in_the_older_form_is_none_at_all(door):
    memory_id = new_conversation(door, *["user"] * 6)
    parameters = {"memory_parameters": {"window_size": None}}

    assert door.infer(read_request(memory_id, parameters=parameters), "two").texts == ["4", "5"]


@at(*JSON_DOORS)
def test_a_null_flag_for_binary_data_is_none_at_all(door):
    memory_id = new_conversation(door, "user")
    assert door.infer(read_request(memory_id, parameters={"binary_data_output": None})).texts == [
        "0"
    ]


def test_a_tool_call_without_content_has_an_empty_text(door):
    """Seldon's translators leave the tensor out whose only value is empty."""
    memory_id = new_id()
    call = '{"id": "c1", "type": "function"}'

    one = document(
        tensor("memory_id", [memory_id]),
        tensor("role", ["assistant"]),
        tensor("type", ["text"]),
        tensor("tool_calls", [call]),
    )
    two = append_several_request(
        memory_id, ["assistant", "tool"], tool_calls=[[call], ""], tool_call_id=["", "c1"]
    )
    assert door.infer(one, "tools").status == 200
    window = door.infer(two, "tools").messages

    empty = [{"type": "text", "value": ""}]
    assert [message["content"] for message in window] == [empty, empty, empty]
    assert window[0]["tool_calls"] == window[1]["tool_calls"] == [json.loads(call)]
    assert window[2]["tool_call_id"] == "c1"


def test_the_largest_window_size_holds_every_message(door):
    memory_id = new_conversation(door, "system", "user", "user")

    reply = door.infer(read_request(memory_id, parameters={"window_size": 2**31 - 1}), "one")

    assert reply.texts == ["0", "1", "2"]


# --- The reply ---------------------------------------------------------------------------


def test_a_reply_has_the_fields_of_seldons_and_in_this_order(door):
    memory_id = new_id()

    reply = door.infer(append_request(memory_id, "Hi", id="42"))

    expected = {
        "model_name": "memory",
        "id": "42",
        "parameters": {},
        "outputs": [
            {
                "name": "memory_id",
                "shape": [1, 1],
                "datatype": "BYTES",
                "parameters": {"content_type": "str"},
                "data": [memory_id],
            },
            {
                "name": "history",
                "shape": [1, 1],
                "datatype": "BYTES",
                "parameters": {"content_type": "str"},
                "data": ['{"role": "user", "content": [{"type": "text", "value": "Hi"}]}'],
            },
        ],
    }
    # As text, since two dictionaries of another order are equal.
    assert json.dumps(reply.document) == json.dumps(expected)


@pytest.mark.parametrize("route", ["versioned", "versioned/versions/3"])
def test_a_memory_with_a_version_says_it_after_its_name(door, route):
    reply = door.infer(append_request(new_id(), "Hi"), route)

    assert reply.document["model_name"] == "versioned"
    assert reply.document["model_version"] == "3"
    assert list(reply.document) == ["model_name", "model_version", "id", "parameters", "outputs"]


def test_a_history_element_is_spaced_as_json_dumps_does(door):
    text = 'a "quoted" \\ line\n\tand é 日本 😀 \x00\x7f\u2028 </script>'

    (history,) = door.infer(append_request(new_id(), text, "", role="us\u00e9r")).history

    assert history == element("us\u00e9r", text, "")


@at(*JSON_DOORS)
def test_text_travels_as_utf8_and_not_as_escapes(door):
    reply = door.infer(append_request("é-" + new_id(), "é 日本 😀", role="Людмила"))

    for text in ("é 日本 😀", "Людмила", "é-"):
        assert text.encode() in reply.body
    assert b"\\u" not in reply.body


@at("http")
def test_a_message_that_is_not_utf8_is_escaped_whole(door):
    memory_id = new_id()
    door.infer(append_request(memory_id, "before: é"))

    before, after = door.infer(append_request(memory_id, "é \ud800", role="ü")).history

    assert before == element("user", "before: é")
    assert after == json.dumps(
        {"role": "ü", "content": [{"type": "text", "value": "é \ud800"}]}, ensure_ascii=True
    )


@at(*MLSERVER_DOORS)
def test_a_message_that_is_not_utf8_is_read_through_mlserver_as_it_was_stored(door, service):
    memory_id = new_id()
    history = HttpDoor(service).infer(append_request(memory_id, "é \ud800", role="ü")).history

    assert door.infer(read_request(memory_id)).history == history


@at("rest")
def test_a_lone_surrogate_is_no_json_to_mlserver(door, rows):
    before = rows()

    reply = door.infer(append_request(new_id(), "\ud800"))

    assert reply.status == 422
    assert [detail["type"] for detail in reply.document["detail"]] == ["json_invalid"]
    assert rows() == before


@at(*GRPC_DOORS)
@pytest.mark.parametrize("name", ["memory_id", "role", "content", "type"])
@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"half \xf0\x9f"], ids=str)
def test_bytes_that_are_not_utf8_are_refused(door, rows, name, text):
    request = append_request(new_id(), "hello")
    (changed,) = [sent for sent in request["inputs"] if sent["name"] == name]
    changed["data"] = [text]
    before = rows()

    reply = door.infer(request)

    assert reply.status == door.bad_request
    assert reply.document == {"error": f"element 0 of tensor '{name}' is not UTF-8"}
    assert rows() == before


@pytest.mark.parametrize("sent", ["42", "not a UUID", " ", "~!@", "x" * 1000])
def test_an_id_is_echoed_as_it_was_sent(door, sent):
    assert door.infer(read_request("x", id=sent)).document["id"] == sent


@at(*JSON_DOORS)
def test_an_empty_id_is_echoed(door):
    assert door.infer(read_request("x", id="")).document["id"] == ""


@at("http")
@pytest.mark.parametrize("sent", ["é 😀", "a\0\ud800", "\r\n"])
def test_an_id_may_be_any_text_in_http(door, sent):
    reply = door.infer(read_request("x", id=sent))

    assert reply.document["id"] == sent


@at(*MLSERVER_DOORS)
@pytest.mark.parametrize("sent", ["é", "a\0b", "\x7f", "a\nb", "a\r\nX-Evil: 1", "\u2028"])
def test_an_id_that_mlserver_cannot_send_back_in_a_header_is_refused(door, rows, sent):
    before = rows()

    for request in (append_request(new_id(), "hello", id=sent), read_request("x", id=sent)):
        reply = door.infer(request)
        assert reply.status == door.bad_request
        assert reply.document == {
            "error": "'id' must be printable ASCII, since MLServer sends it back in a header"
        }
        assert "X-Evil" not in reply.headers
    assert rows() == before


@at(*JSON_DOORS)
@pytest.mark.parametrize("fields", [{}, {"id": None}], ids=["absent", "null"])
def test_without_an_id_each_reply_has_a_new_uuid4(door, fields):
    ids = [door.infer(read_request("x", **fields)).document["id"] for _ in range(2)]

    assert [uuid.UUID(each).version for each in ids] == [4, 4]
    assert [str(uuid.UUID(each)) for each in ids] == ids
    assert ids[0] != ids[1]


@at(*GRPC_DOORS)
def test_without_an_id_a_reply_has_none_in_grpc(door):
    assert door.infer(read_request("x")).document["id"] == ""


@pytest.mark.parametrize(
    "names",
    [["memory_id"], ["history"], ["history", "memory_id"], ["memory_id", "history"]],
    ids=" ".join,
)
def test_only_the_outputs_that_are_asked_for_come_in_that_order(door, names):
    request = append_request(new_id(), "hello", outputs=[{"name": name} for name in names])

    reply = door.infer(request)

    assert [out["name"] for out in reply.document["outputs"]] == names


def test_a_message_is_stored_even_when_its_history_is_not_asked_for(door):
    memory_id = new_id()

    door.infer(append_request(memory_id, "hello", outputs=[{"name": "memory_id"}]))

    assert door.infer(read_request(memory_id)).texts == ["hello"]


def test_outputs_that_are_an_empty_list_are_all_outputs(door):
    reply = door.infer(read_request("x", outputs=[]))

    assert [out["name"] for out in reply.document["outputs"]] == ["memory_id", "history"]


# --- Which conversation ------------------------------------------------------------------

ALIKE = {
    "case": ("Ada", "ada"),
    "dotted i": ("i", "İ"),
    "sharp s": ("straße", "strasse"),
    "accents": ("resume", "résumé"),
    "composed and not": ("é", "e\u0301"),
    "a trailing blank": ("ada", "ada "),
    "a leading blank": ("ada", " ada"),
    "a trailing newline": ("ada", "ada\n"),
    "two kinds of blank": ("a b", "a\u00a0b"),
    "invisible": ("ada", "ada\u200b"),
    "width": ("ada", "\uff41da"),
    "emoji": ("😀", "😁"),
    "wildcards": ("a%", "ab"),
    "digits": ("1", "01"),
}


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_ids_that_only_look_alike_are_two_conversations(door, pair):
    unique = new_id()
    first, second = (f"{memory_id}{unique}{memory_id}" for memory_id in pair)

    door.infer(append_request(first, "first"))
    door.infer(append_request(second, "second"))

    assert door.infer(read_request(first)).texts == ["first"]
    assert door.infer(read_request(second)).texts == ["second"]


IDS = {
    "one character": "x",
    "a blank": " ",
    "510 letters": "x" * 510,
    "510 Chinese characters": "對" * 510,
    "255 Arabic characters": "ع" * 255,
    "255 Cyrillic characters": "Ж" * 255,
    "255 Devanagari characters": "ह" * 255,
    "255 emoji": "😀" * 255,
    "a newline and a tab": "\n\t",
    "quotes": "'\"`; DROP TABLE convstore_message; --",
    "a path": "../../etc/passwd",
    "a format": "%s %(key)s {0}",
    "a backslash": "\\",
    "brackets": '["a"]',
    "a BOM": "\ufeff",
}


@pytest.mark.parametrize("memory_id", IDS.values(), ids=IDS)
def test_an_id_is_any_text_as_long_as_its_column(door, memory_id):
    reply = door.infer(append_request(memory_id, "hello"))

    assert output(reply, "memory_id")["data"] == [memory_id]
    assert door.infer(read_request(memory_id)).texts[-1] == "hello"


def test_memories_of_one_database_share_its_conversations(door):
    memory_id = new_conversation(door, "user")

    door.infer(append_request(memory_id, "1"), "default")

    assert door.infer(read_request(memory_id), "versioned").texts == ["0", "1"]
