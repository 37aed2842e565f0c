"""What a page shows of the stored messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations_api.items import messages_of
from conversations_api.requests import read_items
from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from inspection.items import ShownItem, kind_in
from inspection.parts import MAX_SHOWN_CHARACTERS, ShownPart, first_line
from inspection.transcript import ShownMessage, shown_messages
from tests.unit.openai_items import sendable

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


# --- Items that are no messages ----------------------------------------------------------


def shown_as(kind: str, **fields: Any) -> ShownItem:
    (message,) = shown(Message("assistant", [], {"item": {"type": kind, **fields}}))
    assert message.item
    assert f'"type": "{kind}"' in message.extra
    return message.item


def test_reasoning_is_shown_with_its_summary_and_the_size_of_what_is_encrypted():
    summary = [{"type": "summary_text", "text": each} for each in ("First,", "then \u202e.")]
    item = shown_as("reasoning", id="rs_1", summary=summary, encrypted_content="x" * 99)
    assert (item.kind, item.encrypted, item.line) == ("reasoning", 99, "")
    assert item.text.startswith("First,\n\nthen ")
    assert "\u202e" not in item.text
    long = shown_as("reasoning", summary=[], content=[{"text": "a" * (MAX_SHOWN_CHARACTERS + 1)}])
    assert (len(long.text), long.cut) == (MAX_SHOWN_CHARACTERS, True)


def test_a_call_of_a_providers_tool_is_one_line_and_says_that_it_failed():
    item = shown_as("file_search_call", id="fs_1", status="completed", queries=["tea"], results=[])
    assert (item.kind, item.line, item.status) == (
        "file search call",
        'queries=["tea"]',
        "completed",
    )
    failed = Message("assistant", [], {"item": {"type": "web_search_call", "status": "failed"}})
    assert [message.failed for message in shown(failed)] == [True]


@given(sendable(), st.integers(0, 600))
def test_the_kind_of_an_item_is_read_from_the_beginning_of_its_json(item, cut):
    (message,) = messages_of(read_items([item]))
    (found,) = shown(message)
    kind = found.item.kind if found.item else ""
    assert kind_in(message.to_json()) == kind
    assert kind_in(message.to_json()[:cut]) in ("", kind)


def test_a_type_inside_of_an_item_is_not_its_kind():
    item = {"a": ["type", {"type": "b"}, '"type": "c"'], "name": "type", "type": "d_call"}
    assert kind_in(Message("assistant", [], {"item": item}).to_json()) == "d call"
    assert kind_in(text('"item": {"type": "e"}').to_json()) == ""
    assert kind_in(Message("assistant", [], {"item": {"type": 1}}).to_json()) == ""


@pytest.mark.parametrize("item", ["reasoning", {}, {"type": 1}, ["type"]])
def test_a_field_of_this_name_that_is_no_item_is_shown_as_any_other(item):
    (message,) = shown(text("Hello!", item=item))
    assert (message.item, bool(message.extra), len(message.parts)) == (None, True, 1)


@pytest.mark.parametrize("value", [None, 1, "x", [], [None], [{"text": 1}], {"text": "x"}])
def test_an_item_of_any_form_is_shown(value):
    fields = dict.fromkeys(("summary", "content", "status", "encrypted_content", "action"), value)
    assert shown_as("compaction", **fields).kind == "compaction"
    assert shown_as("computer_call", **fields).kind == "computer call"


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
    assert (weather.call.name, time.call.name) == ("get_weather", "get_time")
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
    assert message.calls[0].call.arguments == text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ('{"city": "Paris", "days": [1, 2]}', 'get_weather(city="Paris", days=[1, 2])'),
        ({"a": {"b": None}}, 'get_weather(a={"b": null})'),
        ("{}", "get_weather()"),
        ("{broken\u202e", "get_weather({broken[U+202E])"),
        ('{"a": "%s"}' % ("x" * 100), f'get_weather(a="{"x" * 58}…)'),
    ],
)
def test_a_call_is_told_in_one_line(arguments, line):
    (message,) = shown(Message("assistant", [], {"tool_calls": [call("1", arguments=arguments)]}))
    assert message.calls[0].call.line == line


def test_a_page_says_that_long_arguments_and_fields_are_cut():
    long = json.dumps({"text": "word " * MAX_SHOWN_CHARACTERS})
    calls = [call("1", arguments=each) for each in (long, "{}")]
    (message,) = shown(Message("assistant", [], {"tool_calls": calls, "refusal": long}))
    assert [each.call.cut for each in message.calls] == [True, False]
    assert len(message.calls[0].call.arguments) == MAX_SHOWN_CHARACTERS
    assert message.extra_cut


@pytest.mark.parametrize(
    ("result", "line", "failed"),
    [
        ("21 degrees\nand sunny", "21 degrees", False),
        ('{\n "celsius": 7\n}', '{"celsius": 7}', False),
        ("Error rates fell.", "Error rates fell.", False),
        ("ERROR: no such city", "ERROR: no such city", True),
        ("requests.HTTPError: 404", "requests.HTTPError: 404", True),
        ("Traceback (most recent call last):\n", "Traceback (most recent call last):", True),
        ('{"error": "no such city"}', '{"error": "no such city"}', True),
        ('{"error": null}', '{"error": null}', False),
        ('{"status": "failed"}', '{"status": "failed"}', True),
        ("", "", False),
    ],
)
def test_a_result_is_told_in_one_line_with_its_failure(result, line, failed):
    asks = Message("assistant", [], {"tool_calls": [call("1")]})
    (message,) = shown(asks, text(result, "tool", tool_call_id="1"), markdown=True)
    (answer,) = message.calls[0].results
    assert (answer.line, answer.failed, message.calls[0].failed) == (line, failed, failed)


def test_json_in_a_result_is_indented_and_other_text_is_not_markdown():
    asks = Message("assistant", [], {"tool_calls": [call("1")]})
    parts = [Part("text", '{"celsius":7}'), Part("text", "*7*")]
    (message,) = shown(asks, Message("tool", parts, {"tool_call_id": "1"}), markdown=True)
    found = message.calls[0].results[0].parts
    assert [each.kind for each in found] == ["json", "text"]
    assert [each.segments for each in found] == [
        ((True, '{\n  "celsius": 7\n}'),),
        ((False, "*7*"),),
    ]


def test_the_first_message_of_a_day_is_marked():
    times = [NOW, NOW, NOW + timedelta(days=1), NOW + timedelta(days=1, hours=1)]
    rows = [
        MessageRow(position=n, role="user", body=text("Hi").to_json(), created_at=at)
        for n, at in enumerate(times, 1)
    ]
    marked = [message.starts_day for message in shown_messages(rows, markdown=False)]
    assert marked == [True, False, True, False]


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


def test_a_long_text_is_rendered_up_to_the_end_of_a_block():
    table = "|a|b|\n|-|-|\n" + "|1|2|\n" * 1_000
    found = part("text", "Some *words*.\n\n" * 500 + table, markdown=True)
    assert (found.kind, found.cut, found.is_long) == ("html", True, True)
    assert found.html.count("<em>") == 500
    assert "<table>" not in found.html
    assert found.shown == len("Some *words*.\n\n" * 500) - 1


def test_a_block_that_is_longer_than_what_is_rendered_ends_with_a_line():
    found = part("text", "```python\n" + "x = 1\n" * 5_000 + "```", markdown=True)
    assert found.html.startswith("<pre><code>x = <span")
    assert found.html.endswith("</span>\n</code></pre>\n")
    assert 9_990 < found.shown <= MAX_SHOWN_CHARACTERS


def test_texts_after_the_most_that_a_page_renders_are_raw():
    (message,) = shown(Message("user", [Part("text", "word " * 2_000)] * 50), markdown=True)
    assert [found.kind for found in message.parts] == ["html"] * 20 + ["text"] * 30


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
