"""Every item comes back as the same JSON value, and is a message that a V2 client can read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations_api.items import items_of, messages_of, without
from conversations_api.requests import read_items
from convstore.messages import Message, Part, is_utf8
from tests.length import times
from tests.unit.openai_items import MODELS, long_form, sendable


def sent(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items as they come out of a request's body."""
    found: list[dict[str, Any]] = json.loads(json.dumps(items))
    return found


def spelled(value: object) -> str:
    """For comparisons: 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


def round_trip(items: list[dict[str, Any]]) -> tuple[list[Message], list[Any]]:
    bodies = [message.to_json() for message in messages_of(read_items(sent(items)))]
    assert all(map(is_utf8, bodies))
    messages = [Message.from_json(body) for body in bodies]
    return messages, [item for message in messages for item in items_of(message)]


def test_all_types_are_tried():
    names = {model.__name__ for model in MODELS}
    assert len(MODELS) > 30
    assert {"ResponseReasoningItem", "McpCall", "FunctionCallOutput", "ItemReference"} <= names


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
@given(data=st.data())
@settings(max_examples=times(6, soak=50))
def test_an_item_of_each_type_comes_back_as_it_was(model, data):
    item = data.draw(sendable([model]))
    assert spelled(round_trip([item])[1]) == spelled([long_form(item)])


@given(st.lists(sendable(), max_size=6))
def test_several_items_come_back_in_order(items):
    messages, back = round_trip(items)
    assert spelled(back) == spelled([long_form(item) for item in items])
    assert len(messages) <= len(items)


SHORT: tuple[dict[str, Any], ...] = (
    {"role": "user", "content": "Hi"},
    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"role": "user", "content": []},
    {"type": "message", "role": "user", "content": "Hi", "phase": None},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"role": "assistant", "content": "\ud83d"},
    {"role": "assistant", "content": None},
    {"role": "tool", "tool_call_id": "c1", "content": "found"},
    {"type": None, "role": "user", "content": "Hi"},
    {"content": "Hi"},
    {"id": "x"},
    {},
)


@given(st.lists(st.sampled_from(SHORT), max_size=5))
def test_items_that_no_door_has_completed_come_back_as_they_were(items):
    bodies = [message.to_json() for message in messages_of(items)]
    back = [item for body in bodies for item in items_of(Message.from_json(body))]
    assert spelled(back) == spelled(items)


turns = st.sampled_from(
    [
        {"role": "user", "content": "What is it?"},
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "", "arguments": "1", "status": "x"},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text"}]},
        {"type": "reasoning", "summary": []},
    ]
)


@given(st.lists(turns, max_size=8), st.data())
def test_what_is_left_of_a_message_without_one_item_is_as_it_was(items, data):
    for message in messages_of(read_items(sent(items))):
        before = items_of(message)
        number = data.draw(st.integers(0, len(before) - 1))
        rest = without(message, number)
        after = items_of(Message.from_json(rest.to_json())) if rest else [None] * len(before)
        before[number] = None
        assert spelled(after) == spelled(before if rest else [None] * len(before))
        assert (rest is None) is not any(before)


CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
TEXT = {"type": "message", "role": "assistant", "content": "I look."}


def test_calls_and_the_text_of_one_turn_are_one_message_in_a_window():
    (message,) = messages_of(read_items([TEXT, CALL, {**CALL, "call_id": "c2"}]))
    assert message.role == "assistant"
    assert message.parts == [Part("text", "I look.")]
    assert [call["id"] for call in message.extra["tool_calls"]] == ["c1", "c2"]
    assert message.in_windows


def test_two_texts_of_the_assistant_are_two_messages():
    assert len(messages_of(read_items([TEXT, TEXT, CALL, TEXT]))) == 3


def test_reasoning_is_in_no_window():
    (message,) = messages_of(read_items([{"type": "reasoning", "id": "rs_1", "summary": []}]))
    assert not message.in_windows
    assert message.parts == ()


def test_a_short_message_is_not_stored_twice():
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    (message,) = messages_of(read_items([item]))
    assert message.to_json() == '{"role": "user", "content": [{"type": "text", "value": "Hi"}]}'
    with_id = {**item, "id": "my_1", "status": "completed"}
    (message,) = messages_of(read_items([with_id]))
    assert len(message.to_json()) < 1.5 * len(json.dumps(with_id))


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (
            {"role": "user", "content": [{"type": "text", "value": "Hi"}], "name": ["Bo"]},
            [
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Hi"}],
                    "name": ["Bo"],
                }
            ],
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "text", "value": ""}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
        ),
        (
            {
                "role": "tool",
                "content": [{"type": "text", "value": "7"}],
                "tool_call_id": "c1",
            },
            [{"type": "function_call_output", "call_id": "c1", "output": "7"}],
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "value": "http://x/i.png"}]},
            [
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "http://x/i.png"}],
                }
            ],
        ),
        (
            {"role": "user", "content": [], "items": ["a"], "item": ["b"], "tool_calls": ["c"]},
            [
                {"type": "function_call", "call_id": "", "name": "", "arguments": '"c"'},
            ],
        ),
    ],
    ids=["a name", "a call", "an answer", "an image", "names of ours"],
)
def test_a_message_of_a_v2_client_is_an_item(body, items):
    assert items_of(Message.from_json(json.dumps(body))) == items
