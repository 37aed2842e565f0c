"""Items as messages of Chat Completions, with whole tool turns; OpenAI's own types check them."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from conversations_api.chat import Chat, chat_of
from conversations_api.items import messages_of
from conversations_api.parts import default_text
from conversations_api.requests import read_items
from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from tests.unit.openai_items import sendable

MESSAGES: TypeAdapter[list[Any]] = TypeAdapter(list[ChatCompletionMessageParam])


def text(role: str, said: str = "Hi") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [default_text(said, role)]}


def call(n: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": "{}"}


def answer(n: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{n}", "output": str(n)}


REASONING = {"type": "reasoning", "summary": [], "encrypted_content": "x"}


def chat(*requests: list[dict[str, Any]]) -> Chat:
    """Of items that were added by these requests, one after the other."""
    positions = count(1)
    return chat_of(
        [
            MessageRow(position=next(positions), role=message.role, body=message.to_json())
            for request in requests
            for message in messages_of(request)
        ]
    )


def short(found: Chat) -> list[str]:
    """Who says what: the ids of calls and of what is answered, or the text."""
    return [
        " ".join(
            [message["role"]]
            + [each["id"] for each in message.get("tool_calls", ())]
            + [message.get("tool_call_id") or str(message["content"])]
        )
        for message in found.messages
    ]


def check(messages: list[Any]) -> None:
    """What the API itself checks of a history, beside the types."""
    waiting: list[str] = []
    for message in MESSAGES.validate_python(messages):
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting
        waiting = [each["id"] for each in message.get("tool_calls") or ()]


def test_a_turn_with_tools_is_one_message_of_the_assistant_and_its_answers():
    found = chat([text("user"), text("assistant", "Look"), call(1), call(2), answer(1), answer(2)])
    assert short(found) == ["user Hi", "assistant c1 c2 Look", "tool c1", "tool c2"]
    assert found.left_out == []
    check(found.messages)


def test_calls_that_came_one_by_one_are_joined():
    found = chat(
        [text("user")], [call(1)], [REASONING], [text("assistant", "Wait"), call(2)],
        [text("assistant", "!")], [answer(2), answer(1)], [text("assistant", "Done")],
    )  # fmt: skip
    check(found.messages)
    assert [message["role"] for message in found.messages] == [
        "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert [part["text"] for part in found.messages[1]["content"]] == ["Wait", "!"]
    assert [each["position"] for each in found.left_out] == [3]


@pytest.mark.parametrize(
    ("requests", "expected", "left_out"),
    [
        ([[call(1), text("user")]], ["user Hi"], [1]),
        ([[text("assistant", "Look"), call(1), text("user")]], ["assistant Look", "user Hi"], [1]),
        ([[answer(1), text("user")]], ["user Hi"], [1]),
        ([[call(1), answer(1), answer(1)]], ["assistant c1 None", "tool c1"], [3]),
        (
            [[call(1), call(2), answer(2), text("user")]],
            ["assistant c2 None", "tool c2", "user Hi"],
            [1],
        ),
        ([[call(1)], [text("assistant")], [text("user")]], ["assistant Hi", "user Hi"], [1]),
    ],
)
def test_what_has_no_other_half_is_left_out_and_named(requests, expected, left_out):
    found = chat(*requests)
    assert short(found) == expected
    assert [each["position"] for each in found.left_out] == left_out
    check(found.messages)


def test_the_last_calls_may_wait_for_their_answers():
    assert short(chat([text("user"), call(1)])) == ["user Hi", "assistant c1 None"]
    found = chat([text("user"), call(1), call(2), answer(1)])
    assert short(found) == ["user Hi", "assistant c1 c2 None", "tool c1"]


def test_images_and_files_have_their_form_and_what_has_none_is_named():
    image = {"type": "input_image", "image_url": "https://e.org/a.png", "detail": "low"}
    of_id = {"type": "input_image", "file_id": "file-1", "image_url": None, "detail": "auto"}
    file = {"type": "input_file", "file_id": "file-2", "filename": "a.pdf", "detail": "auto"}
    of_url = {"type": "input_file", "file_url": "https://e.org/a.pdf"}
    found = chat([{**text("user"), "content": [image, of_id, file, of_url]}])
    check(found.messages)
    assert found.messages[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}},
        {"type": "file", "file": {"file_id": "file-2", "filename": "a.pdf"}},
    ]
    assert [(each["part"], json.loads(each["value"])) for each in found.left_out] == [
        (2, of_id),
        (4, of_url),
    ]


def test_a_v2_message_has_the_form_of_the_export():
    message = Message("user", (Part("text", "a"), Part("json", "{}")), {"mood": ["odd"]})
    (row,) = [MessageRow(position=7, role="user", body=message.to_json())]
    found = chat_of([row])
    assert found.messages == [{"role": "user", "content": "a"}]
    assert found.left_out == [
        {"position": 7, "part": 2, "type": "json", "value": "{}"},
        {"position": 7, "field": "mood", "value": ["odd"]},
    ]


@given(st.lists(sendable(), max_size=6))
def test_openais_own_types_accept_whatever_is_stored(some):
    MESSAGES.validate_python(chat(read_items(some)).messages)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([text("user"), text("assistant"), REASONING]),
            st.builds(call, st.integers(1, 3)),
            st.builds(answer, st.integers(1, 3)),
        ),
        max_size=12,
    )
)
def test_every_history_has_whole_turns_only(some):
    found = chat(*([each] for each in some))
    check([*found.messages, {"role": "user", "content": "Hi"}] if not waits(found) else [])


def waits(found: Chat) -> bool:
    """Whether the last turn has calls without an answer."""
    waiting: list[str] = []
    for message in found.messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            waiting = [each["id"] for each in message.get("tool_calls", ())]
    return bool(waiting)
