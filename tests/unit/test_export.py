"""The export formats. OpenAI's own types check the format for OpenAI."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter, ValidationError

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from convstore.store import conversation_key
from inspection.export import markdown_chunks, openai_line, stored_lines

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MESSAGES: TypeAdapter[list[Any]] = TypeAdapter(list[ChatCompletionMessageParam])


# Files, as far as they are looked at: real ones are known by how they begin, too.
PNG, JPEG = b"\x89PNG\r\n\x1a\n and a photo", b"\xff\xd8\xff and a photo"
WAV, MP3 = b"RIFF\x24\0\0\0WAVEfmt and a sound", b"ID3\4 and a sound"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


CALLS = [
    {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
    {"id": "2", "function": {"name": "get_time", "arguments": {"zone": "UTC"}}},
]
CONVERSATION = [
    Message("system", [Part("text", "Be kind.")]),
    Message(
        "user",
        [
            Part("text", "What are these?"),
            Part("image", encoded(PNG)),
            Part("image_url", f"data:image/jpeg;base64,{encoded(JPEG)}"),
            Part("image_url", "https://example.org/a.png"),
            Part("audio", encoded(WAV)),
            Part("audio", encoded(MP3)),
            Part("file", base64.b64encode(b"%PDF-1.7").decode()),
            Part("json", '{"a": 1}'),
        ],
    ),
    Message("assistant", [Part("text", "")], {"tool_calls": CALLS}),
    Message("tool", [Part("text", "21 degrees")], {"tool_call_id": "1"}),
    Message("tool", [Part("text", "noon")], {"tool_call_id": "2"}),
    Message("assistant", [Part("text", "A cat and a lion."), Part("text", "It is noon.")]),
    Message("user", [Part("text", "你好 مرحبا \x1b[2J \x9b \u202e \ud800 </script>")]),
]


def rows(messages: list[Message]) -> Iterator[MessageRow]:
    for n, each in enumerate(messages, 1):
        yield MessageRow(position=n, role=each.role, body=each.to_json(), created_at=NOW)


def conversation(memory_id: str = "a") -> ConversationRow:
    return ConversationRow(pk=conversation_key(memory_id), memory_id=memory_id)


def refused(messages: list[Any]) -> bool:
    """Whether OpenAI's own types reject the messages."""
    try:
        walk(MESSAGES.validate_python(messages))
    except ValidationError:
        return True
    return False


def walk(value: Any) -> None:
    """Iterate over everything: an item of an Iterable is validated only when it is read."""
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for inner in value:
            walk(inner)


# --- OpenAI's chat format ----------------------------------------------------------------


@pytest.fixture
def line() -> dict[str, Any]:
    text = "".join(openai_line(conversation(), rows(CONVERSATION)))
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    return found


def test_openais_own_types_accept_what_is_exported(line):
    assert line["metadata"] == {"memory_id": "a"}
    assert not refused(line["messages"])
    wrong = [{**line["messages"][1], "content": [{"type": "image_url", "image_url": "x"}]}]
    assert refused(wrong)


def test_one_text_becomes_a_string_and_a_message_with_only_calls_has_null(line):
    assert line["messages"][0] == {"role": "system", "content": "Be kind."}
    asks = line["messages"][2]
    assert asks["content"] is None
    assert asks["tool_calls"][0] == CALLS[0]
    assert asks["tool_calls"][1] == {
        "id": "2",
        "type": "function",
        "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'},
    }
    assert line["messages"][3] == {"role": "tool", "content": "21 degrees", "tool_call_id": "1"}


def test_parts_are_exported_in_openais_format_with_their_bytes(line):
    found = line["messages"][1]["content"]
    assert [part["type"] for part in found] == [
        *("text", "image_url", "image_url", "image_url"),
        *("input_audio", "input_audio", "file", "text"),
    ]
    assert found[1]["image_url"]["url"] == f"data:image/png;base64,{encoded(PNG)}"
    assert found[2]["image_url"]["url"] == f"data:image/jpeg;base64,{encoded(JPEG)}"
    assert found[3]["image_url"]["url"] == "https://example.org/a.png"
    assert found[4]["input_audio"] == {"data": encoded(WAV), "format": "wav"}
    assert found[5]["input_audio"] == {"data": encoded(MP3), "format": "mp3"}
    assert found[6]["file"]["file_data"].endswith(base64.b64encode(b"%PDF-1.7").decode())
    assert found[7]["text"] == '{"a": 1}'


def test_texts_are_exported_unchanged_and_the_file_has_no_control_characters(line):
    assert line["messages"][6]["content"] == CONVERSATION[6].parts[0].value
    text = "".join(openai_line(conversation("\x9b\u202e"), rows(CONVERSATION)))
    assert not set(text) & set("\x1b\x9b\u202e\ud800")


# --- As stored ---------------------------------------------------------------------------


def test_as_stored_each_body_is_exactly_the_stored_json():
    lines = "".join(stored_lines(conversation("\u202ea"), rows(CONVERSATION))).splitlines()
    found = [json.loads(each) for each in lines]
    assert [each["body"] for each in found] == [message.to_json() for message in CONVERSATION]
    assert [each["position"] for each in found] == list(range(1, len(CONVERSATION) + 1))
    assert {each["memory_id"] for each in found} == {"\u202ea"}
    assert {each["created_at"] for each in found} == {"2026-01-02T03:04:05.678901+00:00"}
    assert not set("".join(lines)) & set("\x1b\x9b\u202e")


# --- Markdown ----------------------------------------------------------------------------


def test_markdown_has_a_heading_for_each_message_and_quotes_its_texts():
    text = "".join(markdown_chunks(conversation("chat *1*"), rows(CONVERSATION)))
    assert text.startswith("# chat *1*\n\n## 1. system, 2026-01-02 03:04:05+00:00\n\n> Be kind.\n")
    assert "\n## 4. tool, " in text
    assert f"> image: image/png, {len(PNG)} bytes\n" in text
    assert "> image_url: https://example.org/a.png\n" in text
    assert '> ```json\n> {\n>   "tool_calls"' in text
    assert "你好 مرحبا ␛[2J [U+009B] [U+202E] [U+D800] &lt;/script>" in text


@pytest.mark.parametrize(
    ("source", "exported"),
    [
        ("## 9. user\nfake", "> ## 9. user\n> fake\n"),
        ("a\n```html\n<b>&amp;</b>\n```\n<b>", "> a\n> ```html\n> <b>&amp;</b>\n> ```\n> &lt;b>\n"),
        (
            "<pre>\n```\n</pre>\n```\n<script>",
            "> &lt;pre>\n> ```\n> </pre>\n> ```\n> &lt;script>\n",
        ),
        ("[x](javascript:alert(1))", "> [x]\\(javascript:alert(1))\n"),
        ("[x]: javascript:alert(1)\n\n[x]", "> [x]\\: javascript:alert(1)\n> \n> [x]\n"),
        ("```\nnever closed\n<script>", "> ```\n> never closed\n> <script>\n"),
    ],
)
def test_markdown_in_texts_is_kept_but_html_and_links_are_escaped(source, exported):
    text = "".join(markdown_chunks(conversation(), rows([Message("user", [Part("text", source)])])))
    assert text.split("\n\n", 2)[2] == f"{exported}\n"


def test_a_fence_is_longer_than_any_fence_in_the_code():
    message = Message("user", [Part("code", "a\n````\nb")])
    text = "".join(markdown_chunks(conversation(), rows([message])))
    assert "> `````\n> a\n> ````\n> b\n> `````\n" in text
