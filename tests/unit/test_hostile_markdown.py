"""Markdown that somebody made to be active or slow: what is shown of it, and what is exported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from inspection.addresses import split_addresses
from inspection.export.markdown_file import markdown_chunks
from inspection.markdown import (
    MAX_RENDERED,
    MAX_RENDERED_ON_PAGE,
    PageRenderer,
    render_markdown,
)
from inspection.transcript import ShownMessage, shown_messages
from tests.browser import hostile
from tests.cost import cpu_seconds
from tests.length import times
from tests.outline import PLAIN, READER, Outline, assert_nothing_acts

SHOWN_TAGS = PLAIN | {"s", "a", "table", "thead", "tbody", "tr", "th", "td", "span"}
ATTRIBUTES = {"a": {"href", "title", "rel"}, "ol": {"start"}, "span": {"class"}}

FRAGMENTS = [
    "```", "~~~", "````", "<script>alert(1)</script>", "<pre>", "</pre>", "<!--", "-->",
    "[x](javascript:alert(1))", "[a]: javascript:alert(1)", "[a]", "![i](http://x)", "> ", "- ",
    "    ", "  ", "\n", "\n\n", "`", "``", "\\", "&#106;", "<http://x>", "\t", "1. ", "<a href=x>",
    "](", "]:", "[a]:\n", "<div>\n", "<?", "<![CDATA[", "***", "===\n", "\r", "x", "|", "#",
]  # fmt: skip
# A line in a place where blocks begin, go on or end, so that these meet often.
PREFIXES = st.lists(
    st.sampled_from(["", " ", "> ", ">", "- ", "1. ", "  ", "    ", "\t"]), max_size=3
)
CONTENTS = st.sampled_from(
    ["```", "~~~", "````", "``` x", "~~~ x", "", "x", "<script>alert(1)</script>", "<div>", "<!--",
     "[x](javascript:alert(1))", "[a]: javascript:alert(1)", "[a]", "<http://x>", "---", "# x"]
)  # fmt: skip
LINES = st.builds(lambda before, content: "".join(before) + content, PREFIXES, CONTENTS)
TEXTS = st.lists(LINES, max_size=8).map("\n".join) | st.lists(
    st.sampled_from(FRAGMENTS), max_size=25
).map("".join)


def many(test: Callable[..., None]) -> Any:
    return pytest.mark.soak(settings(max_examples=times(100, soak=1_500))(test))


def exported(memory_id: str, *messages: Message) -> str:
    now = datetime.now(UTC)
    rows = [
        MessageRow(position=n, role=m.role, body=m.to_json(), created_at=now)
        for n, m in enumerate(messages, 1)
    ]
    conversation: Any = SimpleNamespace(memory_id=memory_id, metadata=None)
    return "".join(markdown_chunks(conversation, rows))


@many
@given(text=TEXTS)
@example(text="```\n\t```\n<script>alert(1)</script>")
@example(text="~~~\n    ~~~\n[x](javascript:alert(1))")
@example(text="- ```\n  <script>alert(1)</script>\n<script>alert(1)</script>")
@example(text="> ```\n<script>alert(1)</script>")
@example(text="<pre>\n```\n</pre>\n<script>alert(1)</script>\n```")
@example(text="[a]:\njavascript:alert(1)\n\n[a]")
def test_no_text_is_active_in_a_markdown_export(text):
    assert_nothing_acts(exported("x", Message("user", [Part("text", text)])))


@many
@given(text=TEXTS)
def test_no_other_field_is_active_in_a_markdown_export(text):
    call = {"id": text, "function": {"name": text, "arguments": text}}
    parts = [Part(text, text), Part("image", f"https://x{text}"), Part("image", text)]
    message = Message(text, parts, {"tool_calls": [call], "tool_call_id": text})
    assert_nothing_acts(exported(text, message, message))


@many
@given(first=TEXTS, second=TEXTS)
def test_no_text_can_imitate_a_message_in_a_markdown_export(first, second):
    parts = [Part("text", first), Part("text", second)]
    markdown = exported("x", Message("user", parts), Message("assistant", parts))
    tokens = READER.parse(markdown)
    headings = [each for each in tokens if each.type == "heading_open" and each.level == 0]
    assert [each.tag for each in headings] == ["h1", "h2", "h2"]
    outside = {each.type for each in tokens if each.level == 0}
    quoted = {"blockquote_open", "blockquote_close"}
    assert outside <= {"heading_open", "inline", "heading_close"} | quoted
    assert len([each for each in tokens if each.type == "blockquote_open" and each.level == 0]) == 4


@many
@given(text=TEXTS)
@example(text="\n".join(hostile.TRICKS))
@example(text="\n\n".join(hostile.ADDRESSES))
def test_rendered_markdown_has_only_allowed_html(text):
    outline = Outline(render_markdown(text))
    assert outline.others == []
    for tag, attributes in outline.tags:
        assert tag in SHOWN_TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set())
        assert urlsplit(attributes.get("href") or "http:").scheme in ("http", "https", "mailto")


def test_a_deeply_nested_call_is_not_indented_in_a_markdown_export():
    """With each number on a line of its own, after 200 spaces, it would fill the memory."""
    call: dict[str, Any] = {"numbers": [1] * 20_000}
    for _ in range(98):
        call = {"a": call}
    message = Message("assistant", [], {"tool_calls": [call]})
    assert len(exported("x", message)) < 10 * len(message.to_json())


# --- Slow texts --------------------------------------------------------------------------

# Found by trying all that up to three patterns of Markdown make when they are repeated.
SLOW = [
    "[", "*a", "`", "<", "> ", "- ", "|", "![[", "\\", "*_", "[a][", "|a|\n|-|\n", "\n[", "*[~",
    "[``a", "[]()", "&#", "1. ", "```\n", "[a]: x\n",
]  # fmt: skip
ORDINARY = "Some *words*, `code` and [a link](https://good.test).\n\n"


def repeated(pattern: str, length: int) -> str:
    return (pattern * length)[:length]


@cache
def ordinary_seconds() -> float:
    return cpu_seconds(partial(render_markdown, repeated(ORDINARY, MAX_RENDERED)))


@pytest.mark.parametrize("pattern", SLOW)
def test_slow_markdown_takes_time_in_proportion_to_its_length(pattern):
    """Some patterns take 15 times as long as ordinary Markdown, which MAX_RENDERED bounds."""
    short, long = (
        partial(render_markdown, repeated(pattern, length))
        for length in (MAX_RENDERED // 10, MAX_RENDERED)
    )
    # 100 times, if the time grew with the square.
    limit = min(30 * cpu_seconds(short), 60 * ordinary_seconds())
    assert cpu_seconds(long, limit=limit) < limit


@pytest.mark.parametrize("markdown", [False, True])
@pytest.mark.parametrize("pattern", ["[", "*[~", "```a\n", "```\n", "|a|\n|-|\n"])
def test_a_page_full_of_slow_texts_takes_time_in_proportion_to_their_number(pattern, markdown):
    part = Part("text", repeated(pattern, MAX_RENDERED - 1))
    quarter, full = (page_of([part] * number) for number in (20, 80))
    limit = 12 * cpu_seconds(partial(shown_messages, quarter, markdown=markdown))
    pages: list[list[ShownMessage]] = []
    assert (
        cpu_seconds(lambda: pages.append(shown_messages(full, markdown=markdown)), limit=limit)
        < limit
    )
    (message,) = pages[-1]
    rendered = sum(part.shown for part in message.parts if part.html)
    assert (0 < rendered <= MAX_RENDERED_ON_PAGE) if markdown else rendered == 0


def test_long_texts_beyond_what_a_page_renders_cost_what_raw_texts_cost():
    part = Part("text", repeated("|a|\n|-|\n", 2 * MAX_RENDERED))
    some, more = (cost_of_rendering(page_of([part] * number)) for number in (20, 80))
    assert more < 2 * some  # 4 times, if all were rendered


def cost_of_rendering(page: list[MessageRow]) -> float:
    """The CPU time that a page takes more than one with raw texts."""
    rendered, raw = (
        cpu_seconds(partial(shown_messages, page, markdown=markdown)) for markdown in (True, False)
    )
    return rendered - raw


def test_a_text_that_escaping_makes_much_longer_is_not_rendered():
    text = "[\u202e" * (MAX_RENDERED // 2)
    assert PageRenderer().beginning(text) is None
    assert PageRenderer().beginning(text[:1_000]) is not None


@pytest.mark.parametrize("end", [")", "]}", "(.", ").", "*"])
def test_the_end_of_an_address_is_found_in_time_in_proportion_to_its_length(end):
    short, long = (partial(pieces_of, f"http://x{end * length}") for length in (95, 950))
    limit = 30 * cpu_seconds(short)
    assert cpu_seconds(long, limit=limit) < limit


def pieces_of(text: str) -> list[tuple[str, str]]:
    return list(split_addresses(text))


def page_of(parts: list[Part]) -> list[MessageRow]:
    body = Message("user", parts).to_json()
    return [MessageRow(position=1, role="user", body=body, created_at=datetime.now(UTC))]
