"""What a page shows of the stored messages."""

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


def shown(*messages: Message, markdown: bool = False) -> list[ShownMessage]:
    rows = [
        MessageRow(position=n, role=each.role, body=each.to_json(), created_at=NOW)
        for n, each in enumerate(messages, 1)
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


def test_messages_are_in_order_with_role_position_and_time():
    found = shown(text("Be kind.", "system"), text("Hello!"), text("Hi", "<script>"))
    assert [(each.position, each.role, each.colour) for each in found] == [
        (1, "system", "system"),
        (2, "user", "user"),
        (3, "<script>", "other"),
    ]
    assert {message.created_at for message in found} == {NOW}


def test_results_of_tools_are_inside_their_calls():
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


def test_the_last_of_two_calls_with_the_same_id_gets_the_result():
    asks = Message("assistant", [], {"tool_calls": [call("1"), call("1", "get_time"), call("")]})
    (message,) = shown(asks, text("noon", "tool", tool_call_id="1"))
    assert [len(each.results) for each in message.calls] == [0, 1, 0]


def test_a_shown_message_is_immutable():
    asks = Message("assistant", [Part("text", "a\n```\nb\n```")], {"tool_calls": [call("1")]})
    for each in shown(asks, text("noon", "tool", tool_call_id="1")):
        hash(each)  # fails if a list is in it


def test_a_result_without_its_call_is_a_message_of_its_own():
    found = shown(text("noon", "tool", tool_call_id="9"), text("Hello!"))
    assert [(message.position, message.result_of) for message in found] == [(1, "9"), (2, "")]


def test_a_result_is_inside_the_most_recent_call_with_its_id():
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
def test_arguments_are_indented_only_if_they_are_json(arguments, text):
    (message,) = shown(Message("assistant", [], {"tool_calls": [call("1", arguments=arguments)]}))
    assert message.calls[0].arguments == text


@pytest.mark.parametrize("odd", [{}, {"function": "x"}, {"a": [1]}, {"function": {"name": 5}}])
def test_a_call_in_any_format_is_shown(odd):
    (message,) = shown(Message("assistant", [], {"tool_calls": [odd]}))
    assert len(message.calls) == 1


def test_other_fields_of_a_message_are_shown_as_json():
    (message,) = shown(text("Hello!", name=["Ada"]))
    assert message.extra == '{\n  "name": [\n    "Ada"\n  ]\n}'


# --- Parts -------------------------------------------------------------------------------


def test_lines_inside_fences_are_code():
    found = part("text", "Look:\n```python\nprint(1)\n\nprint(2)\n```\nand `this`\n```open")
    assert found.kind == "text"
    assert list(found.segments) == [
        (False, "Look:"),
        (True, "print(1)\n\nprint(2)\n"),
        (False, "and `this`\n```open"),
    ]


def test_a_text_of_another_type_is_code():
    found = part("json", '{"a": 1}')
    assert (found.kind, found.type, list(found.segments)) == ("code", "json", [(True, '{"a": 1}')])


def test_a_long_text_is_cut_but_keeps_its_size():
    found = part("text", "a" * 1_000_000)
    assert (found.cut, found.size) == (True, 1_000_000)
    assert list(found.segments) == [(False, "a" * MAX_SHOWN_CHARACTERS)]
    assert not part("text", "a" * MAX_SHOWN_CHARACTERS).cut


def test_an_empty_part_is_hidden_but_keeps_its_number():
    (message,) = shown(Message("user", [Part("text", ""), Part("text", "x"), Part("json", "y")]))
    assert [found.number for found in message.parts] == [2, 3]


def test_an_empty_message_has_no_parts():
    (message,) = shown(text(""))
    assert message.parts == ()


def test_markdown_is_rendered_only_on_request_and_not_for_code():
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
def test_the_first_line_is_the_first_one_that_is_not_empty(message, line):
    assert first_line(message.to_json()) == line


def test_a_first_line_that_is_cut_off_is_shown_up_to_there():
    body = text("é" * 1000).to_json()
    assert first_line(body[:200]).startswith("ééé")
    assert first_line("") == first_line(None) == first_line('{"role": "us') == ""
