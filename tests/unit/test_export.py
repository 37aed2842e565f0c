"""The export formats, but for those that have a module of tests of their own."""

from __future__ import annotations

import json

import pytest

from convstore.messages import Message, Part
from inspection.export.jsonl import stored_lines
from inspection.export.markdown_file import markdown_chunks
from tests.unit.exports import CONVERSATION, PNG, conversation, rows

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
