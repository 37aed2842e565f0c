"""From messages as they are stored to what a page shows of them.

Knows messages and what their parts are; knows neither rows nor HTML, but for Markdown.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from convstore.archive.history import Entry
from convstore.messages import Message, Part, parts_in
from inspection.inert import set_out, visible
from inspection.markdown import LONGEST, LONGEST_PAGE, as_html
from inspection.media import link_of, media_of

# The most characters of one text that a page shows; the whole is a page of its own.
SHOWN = 10_000
# What stands in an address as it is.
IN_ADDRESSES = "/:?#[]@!$&()*+,;=%~'"
# Roles that have a look of their own.
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One part: `kind` is text, code, html, image, audio, link or file; `number` from 1.

    Texts come in `pieces`, each with whether it is code; `size` is in characters for a text
    and in bytes for all else.
    """

    number: int
    type: str
    kind: str
    size: int
    pieces: Sequence[tuple[bool, str]] = ()
    html: str = ""
    href: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, and the messages that answer it."""

    name: str
    arguments: str
    id: str
    answers: list[Turn] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `calls` are what it asks of tools, `extra` what else it keeps, as JSON."""

    position: int
    role: str
    created_at: datetime
    parts: Sequence[ShownPart]
    calls: Sequence[Call]
    answers_to: str
    extra: str

    @property
    def look(self) -> str:
        return self.role if self.role in ROLES else "other"


def turns(entries: Sequence[Entry], *, markdown: bool) -> list[Turn]:
    """The messages in their order; answers of tools are folded into the calls before them."""
    said = [Message.from_json(entry.body) for entry in entries]
    texts = (part.value for message in said for part in message.parts if part.type == "text")
    markdown = markdown and sum(len(text) for text in texts if len(text) <= LONGEST) <= LONGEST_PAGE
    shown: list[Turn] = []
    open_calls: dict[str, Call] = {}
    for entry, message in zip(entries, said, strict=True):
        turn = _turn(entry, message, markdown)
        if turn.role == "tool" and turn.answers_to in open_calls:
            open_calls[turn.answers_to].answers.append(turn)
            continue
        if turn.answers_to == "":
            open_calls = {call.id: call for call in turn.calls if call.id}
        shown.append(turn)
    return shown


def _turn(entry: Entry, message: Message, markdown: bool) -> Turn:
    also = dict(message.extra)
    calls, answers_to = also.pop("tool_calls", []), also.pop("tool_call_id", "")
    return Turn(
        entry.position,
        visible(message.role),
        entry.created_at,
        [
            _part(n, part, markdown)
            for n, part in enumerate(message.parts, 1)
            if not _is_empty(part)
        ],
        [_call(call) for call in calls] if isinstance(calls, list) else [],
        visible(str(answers_to)),
        visible(set_out(also)[:SHOWN]) if also else "",
    )


def _is_empty(part: Part) -> bool:
    return part.type == "text" and part.value == ""


def _call(call: Any) -> Call:
    """OpenAI's form of a call or, where it is another, the whole of it as arguments."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return Call("", visible(set_out(call)[:SHOWN]), "")
    text = _arguments(function.get("arguments", ""))
    name, key = str(function.get("name", "")), str(call.get("id", ""))
    return Call(visible(name), visible(text[:SHOWN]), visible(key))


def _arguments(arguments: Any) -> str:
    """Arguments, which are JSON in a string or values already, on lines of their own."""
    if not isinstance(arguments, str):
        return set_out(arguments)
    # Or it is a model's mistake, nested too deep or too long, and is shown as it came; so it is
    # where a name is in it twice, since one of the two would be lost.
    with suppress(ValueError, RecursionError):
        if len(arguments) <= SHOWN:
            values = json.loads(arguments, object_pairs_hook=_each_once)
            return values if isinstance(values, str) else set_out(values)
    return arguments


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


# --- Parts -------------------------------------------------------------------------------


def _part(number: int, part: Part, markdown: bool) -> ShownPart:
    kind = visible(part.type)
    if link := link_of(part):
        href = quote(link, safe=IN_ADDRESSES, errors="replace")
        return ShownPart(number, kind, "link", len(link), [(False, visible(link))], href=href)
    if media := media_of(part):
        return ShownPart(number, kind, media.kind, len(media.data))
    return _text(number, kind, part.value, markdown)


def _text(number: int, kind: str, text: str, markdown: bool) -> ShownPart:
    cut, size = len(text) > SHOWN, len(text)
    if kind != "text":
        code = [(True, visible(text[:SHOWN]))]
        return ShownPart(number, kind, "code", size, code, cut=cut)
    if markdown and size <= LONGEST:
        return ShownPart(number, kind, "html", size, html=as_html(visible(text)))
    return ShownPart(number, kind, "text", size, list(_pieces(visible(text[:SHOWN]))), cut=cut)


def _pieces(text: str) -> list[tuple[bool, str]]:
    """The text between fences, and what is fenced, which is code."""
    lines = text.split("\n")
    ends = [n for n, line in enumerate(lines) if line.rstrip(" \t") == "```"]
    pieces: list[tuple[bool, str]] = []
    start = n = 0
    while n < len(lines):
        at = bisect_right(ends, n)
        later = ends[at : at + 1]
        if later and lines[n].startswith("```") and "`" not in lines[n][3:]:
            pieces.append((False, "\n".join(lines[start:n]).strip("\n")))
            pieces.append((True, "".join(f"{line}\n" for line in lines[n + 1 : later[0]])))
            start = n = later[0] + 1
        else:
            n += 1
    rest = "\n".join(lines[start:])
    pieces.append((False, rest.strip("\n") if start else rest))
    return [(is_code, piece) for is_code, piece in pieces if piece]


def first_line(beginning: str | None) -> str:
    """How a conversation opens: the first line of a message whose JSON begins so."""
    for part in parts_in(beginning or ""):
        line = next((line for line in part.value.splitlines() if line.strip()), "")
        if part.type == "text" and line:
            return visible(line.strip())
        if part.type != "text":
            return f"[{visible(part.type)}]"
    return ""
