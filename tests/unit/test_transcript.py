"""What a page shows of messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from inspection.transcript import (
    MAX_SHOWN_CHARACTERS,
    ShownMessage,
    ShownPart,
    first_line,
    shown_messages,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def shown(*said: Message, markdown: bool = False) -> list[ShownMessage]:
    rows = [
        MessageRow(position=n, role=each.role, body=each.to_json(), created_at=NOW)
        for n, each in enumerate(said, 1)
    ]
    return shown_messages(rows, markdown=markdown)


def text(value: str, role: str = "user", **also: Any) -> Message:
    return Message(role, [Part("text", value)], also)


def part(kind: str, value: str, *, markdown: bool = False) -> ShownPart:
    (message,) = shown(Message("user", [Part(kind, value)]), markdown=markdown)
    (found,) = message.parts
    return found


def call(id: str, name: str = "get_weather", arguments: Any = "{}") -> dict[str, Any]:  # noqa: A002
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


# --- Messages ----------------------------------------------------------------------------


def test_messages_come_in_their_order_with_their_role_position_and_time():
    found = shown(text("Be kind.", "system"), text("Hello!"), text("Hi", "<script>"))
    assert [(each.position, each.role, each.colour) for each in found] == [
        (1, "system", "system"),
        (2, "user", "user"),
        (3, "<script>", "other"),
    ]
    assert {message.created_at for message in found} == {NOW}


def test_answers_of_tools_are_folded_into_the_calls_that_they_answer():
    asks = Message("assistant", [], {"tool_calls": [call("1"), call("2", "get_time")]})
    found = shown(
        asks,
        text("noon", "tool", tool_call_id="2"),
        text("21 degrees", "tool", tool_call_id="1"),
        text("It is noon.", "assistant"),
    )
    assert [message.position for message in found] == [1, 4]
    weather, time = found[0].calls
    assert (weather.name, time.name) == ("get_weather", "get_time")
    assert [message.position for message in weather.results] == [3]
    assert [message.position for message in time.results] == [2]


def test_of_two_calls_with_the_same_id_the_last_one_gets_the_answer():
    asks = Message("assistant", [], {"tool_calls": [call("1"), call("1", "get_time"), call("")]})
    (message,) = shown(asks, text("noon", "tool", tool_call_id="1"))
    assert [len(each.results) for each in message.calls] == [0, 1, 0]


def test_what_is_shown_of_a_message_cannot_be_changed():
    asks = Message("assistant", [Part("text", "a\n```\nb\n```")], {"tool_calls": [call("1")]})
    for each in shown(asks, text("noon", "tool", tool_call_id="1")):
        hash(each)  # fails if a list is in it


def test_an_answer_whose_call_is_not_here_stands_by_itself():
    found = shown(text("noon", "tool", tool_call_id="9"), text("Hello!"))
    assert [(message.position, message.result_of) for message in found] == [(1, "9"), (2, "")]


def test_an_answer_is_folded_into_the_last_call_of_its_id():
    asks = Message("assistant", [], {"tool_calls": [call("1")]})
    answer = text("x", "tool", tool_call_id="1")
    found = shown(asks, answer, asks, answer)
    assert [[message.position for message in each.calls[0].results] for each in found] == [[2], [4]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"city":"Paris"}', '{\n  "city": "Paris"\n}'),
        ({"city": "Zürich"}, '{\n  "city": "Zürich"\n}'),
        ("{broken", "{broken"),
        ('"word"', "word"),
        ("", ""),
    ],
)
def test_arguments_are_set_out_where_they_are_json_and_left_where_not(arguments, text):
    (message,) = shown(Message("assistant", [], {"tool_calls": [call("1", arguments=arguments)]}))
    assert message.calls[0].arguments == text


@pytest.mark.parametrize("odd", [{}, {"function": "x"}, {"a": [1]}, {"function": {"name": 5}}])
def test_calls_of_any_form_are_shown(odd):
    (message,) = shown(Message("assistant", [], {"tool_calls": [odd]}))
    assert len(message.calls) == 1


def test_what_else_a_message_keeps_is_shown_as_json():
    (message,) = shown(text("Hello!", name=["Ada"]))
    assert message.extra == '{\n  "name": [\n    "Ada"\n  ]\n}'


# --- Parts -------------------------------------------------------------------------------


def test_fenced_lines_are_code_and_the_lines_around_are_not():
    found = part("text", "Look:\n```python\nprint(1)\n\nprint(2)\n```\nand `this`\n```open")
    assert found.kind == "text"
    assert list(found.segments) == [
        (False, "Look:"),
        (True, "print(1)\n\nprint(2)\n"),
        (False, "and `this`\n```open"),
    ]


def test_a_part_of_another_type_that_is_text_is_code():
    found = part("json", '{"a": 1}')
    assert (found.kind, found.type, list(found.segments)) == ("code", "json", [(True, '{"a": 1}')])


def test_a_long_text_is_cut_and_says_how_long_it_is():
    found = part("text", "a" * 1_000_000)
    assert (found.cut, found.size) == (True, 1_000_000)
    assert list(found.segments) == [(False, "a" * MAX_SHOWN_CHARACTERS)]
    assert not part("text", "a" * MAX_SHOWN_CHARACTERS).cut


def test_numbers_of_parts_are_those_of_the_message_also_where_one_is_empty():
    (message,) = shown(Message("user", [Part("text", ""), Part("text", "x"), Part("json", "y")]))
    assert [found.number for found in message.parts] == [2, 3]


def test_an_empty_message_has_no_parts():
    (message,) = shown(text(""))
    assert message.parts == ()


def test_markdown_is_made_only_where_it_is_wished_for_and_not_of_code():
    assert part("text", "**a**").html == ""
    assert part("text", "**a**", markdown=True).html == "<p><strong>a</strong></p>\n"
    assert part("json", "**a**", markdown=True).kind == "code"
    assert part("text", "a" * 1_000_000, markdown=True).kind == "text"


# --- First lines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (text("Hello!\nWhat is this?"), "Hello!"),
        (text("\n \n  Hello!"), "Hello!"),
        (text(""), ""),
        (Message("user", [Part("image", "AAAA"), Part("text", "Hi")]), "[image]"),
        (Message("user", [Part("text", ""), Part("text", "Hi")]), "Hi"),
        (text("\x1b[2Jgone\u202e"), "␛[2Jgone[U+202E]"),
        (text('a "quoted" \\ word'), 'a "quoted" \\ word'),
        (Message("assistant", [], {"tool_calls": [call("1")]}), ""),
    ],
)
def test_a_conversation_opens_with_the_first_line_that_says_something(message, line):
    assert first_line(message.to_json()) == line


def test_a_line_that_is_cut_off_is_shown_as_far_as_it_goes():
    body = text("é" * 1000).to_json()
    assert first_line(body[:200]).startswith("ééé")
    assert first_line("") == first_line(None) == first_line('{"role": "us') == ""
