"""Convert stored messages to what a page shows of them.

This module makes no HTML, except that of rendered Markdown.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from convstore.archive.history import MessageRow
from convstore.messages import Message, Part, parts_in
from inspection.escaping import escape_controls, indented_json
from inspection.markdown import MAX_RENDERED, MAX_RENDERED_ON_PAGE, render_markdown
from inspection.media import link_of, media_of

# The most characters of one text that a page shows. The whole text has a page of its own.
MAX_SHOWN_CHARACTERS = 10_000
# Characters of a URL that need no percent-encoding.
SAFE_IN_URL = "/:?#[]@!$&()*+,;=%~'"
# The roles that have their own colour.
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One part of a message. `kind` is text, code, html, image, audio, link or file.

    `number` counts from 1. `segments` hold a text, each as (is it code, text). `size` counts the
    characters of a text or a link, else bytes.
    """

    number: int
    type: str
    kind: str
    size: int
    segments: tuple[tuple[bool, str], ...] = ()
    html: str = ""
    href: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call, with those of its results that are on the page."""

    name: str
    arguments: str
    id: str
    results: tuple[ShownMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message. `result_of` is the id of a tool call, or "". `extra` is JSON, or ""."""

    position: int
    role: str
    created_at: datetime
    parts: tuple[ShownPart, ...]
    calls: tuple[ShownCall, ...]
    result_of: str
    extra: str

    @property
    def colour(self) -> str:
        return self.role if self.role in ROLES else "other"


def shown_messages(rows: Sequence[MessageRow], *, markdown: bool) -> list[ShownMessage]:
    """The messages in order. The result of a tool call is inside the call, not in the list."""
    messages = [Message.from_json(row.body) for row in rows]
    texts = (part.value for message in messages for part in message.parts if part.type == "text")
    markdown = (
        markdown
        and sum(len(text) for text in texts if len(text) <= MAX_RENDERED) <= MAX_RENDERED_ON_PAGE
    )
    top_level: list[ShownMessage] = []
    # The key is the position of the message that makes the calls, then the id of the call.
    results: dict[int, dict[str, list[ShownMessage]]] = {}
    open_calls: dict[str, list[ShownMessage]] = {}
    for row, message in zip(rows, messages, strict=True):
        shown = _shown_message(row, message, markdown)
        if shown.role == "tool" and shown.result_of in open_calls:
            open_calls[shown.result_of].append(shown)
            continue
        if shown.result_of == "":
            open_calls = {call.id: [] for call in shown.calls if call.id}
            results[shown.position] = open_calls
        top_level.append(shown)
    return [_attach_results(shown, results.get(shown.position, {})) for shown in top_level]


def _attach_results(
    shown: ShownMessage, results: Mapping[str, Sequence[ShownMessage]]
) -> ShownMessage:
    """The message with results in its calls. If calls have the same id, the last one gets them."""
    last = {call.id: n for n, call in enumerate(shown.calls)}
    calls = (
        replace(call, results=tuple(results.get(call.id, ()))) if last[call.id] == n else call
        for n, call in enumerate(shown.calls)
    )
    return replace(shown, calls=tuple(calls))


def _shown_message(row: MessageRow, message: Message, markdown: bool) -> ShownMessage:
    extra = dict(message.extra)
    calls, result_of = extra.pop("tool_calls", []), extra.pop("tool_call_id", "")
    return ShownMessage(
        row.position,
        escape_controls(message.role),
        row.created_at,
        tuple(
            _shown_part(number, part, markdown)
            for number, part in enumerate(message.parts, 1)
            if not _is_empty(part)
        ),
        tuple(_shown_call(call) for call in calls) if isinstance(calls, list) else (),
        escape_controls(str(result_of)),
        escape_controls(indented_json(extra)[:MAX_SHOWN_CHARACTERS]) if extra else "",
    )


def _is_empty(part: Part) -> bool:
    return part.type == "text" and part.value == ""


def _shown_call(call: Any) -> ShownCall:
    """A call in OpenAI's format. A call in any other format is shown whole, as arguments."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return ShownCall("", escape_controls(indented_json(call)[:MAX_SHOWN_CHARACTERS]), "")
    arguments = _indented_arguments(function.get("arguments", ""))[:MAX_SHOWN_CHARACTERS]
    name, key = str(function.get("name", "")), str(call.get("id", ""))
    return ShownCall(escape_controls(name), escape_controls(arguments), escape_controls(key))


def _indented_arguments(arguments: Any) -> str:
    """The arguments of a call: they may be JSON in a string, or JSON values."""
    if not isinstance(arguments, str):
        return indented_json(arguments)
    # A model may write JSON that is invalid, too deep or too long, or JSON with a duplicate name,
    # of which Python would keep only the last. Such arguments are shown as they are stored.
    with suppress(ValueError, RecursionError):
        if len(arguments) <= MAX_SHOWN_CHARACTERS:
            values = json.loads(arguments, object_pairs_hook=_object_with_unique_names)
            return values if isinstance(values, str) else indented_json(values)
    return arguments


def _object_with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has the same name twice")
    return values


# --- Parts -------------------------------------------------------------------------------


def _shown_part(number: int, part: Part, markdown: bool) -> ShownPart:
    kind = escape_controls(part.type)
    if link := link_of(part):
        href, text = quote(link, safe=SAFE_IN_URL, errors="replace"), escape_controls(link)
        return ShownPart(number, kind, "link", len(link), ((False, text),), href=href)
    if media := media_of(part):
        return ShownPart(number, kind, media.kind, len(media.data))
    return _shown_text(number, kind, part.value, markdown)


def _shown_text(number: int, kind: str, text: str, markdown: bool) -> ShownPart:
    size, beginning = len(text), escape_controls(text[:MAX_SHOWN_CHARACTERS])
    cut = size > MAX_SHOWN_CHARACTERS
    if kind != "text":
        return ShownPart(number, kind, "code", size, ((True, beginning),), cut=cut)
    if markdown and size <= MAX_RENDERED:
        return ShownPart(number, kind, "html", size, html=render_markdown(escape_controls(text)))
    return ShownPart(number, kind, "text", size, _split_code(beginning), cut=cut)


def _split_code(text: str) -> tuple[tuple[bool, str], ...]:
    """The text, split into text outside of fences (False) and code inside of them (True)."""
    lines = text.split("\n")
    ends = [n for n, line in enumerate(lines) if line.rstrip(" \t") == "```"]
    segments: list[tuple[bool, str]] = []
    start = n = 0
    while n < len(lines):
        at = bisect_right(ends, n)
        later = ends[at : at + 1]
        if later and lines[n].startswith("```") and "`" not in lines[n][3:]:
            segments.append((False, "\n".join(lines[start:n]).strip("\n")))
            segments.append((True, "".join(f"{line}\n" for line in lines[n + 1 : later[0]])))
            start = n = later[0] + 1
        else:
            n += 1
    rest = "\n".join(lines[start:])
    segments.append((False, rest.strip("\n") if start else rest))
    return tuple((is_code, segment) for is_code, segment in segments if segment)


def first_line(beginning: str | None) -> str:
    """The first line that is not empty, from the first characters of a message's JSON."""
    for part in parts_in(beginning or ""):
        line = next((line for line in part.value.splitlines() if line.strip()), "")
        if part.type == "text" and line:
            return escape_controls(line.strip())
        if part.type != "text":
            return f"[{escape_controls(part.type)}]"
    return ""
