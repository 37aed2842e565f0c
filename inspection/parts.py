"""Convert the parts of a message to what a page shows of them.

This module makes no HTML, except that of rendered Markdown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from convstore.escaping import escape_controls, indented_json_text
from convstore.media import Media, link_of, media_of
from convstore.messages import Part, parts_in
from inspection.addresses import url_of
from inspection.image_sizes import image_size
from inspection.markdown import PageRenderer

# The most characters of one text that a page shows. The whole text has a page of its own.
MAX_SHOWN_CHARACTERS = 10_000
# A text that may have more lines than this is folded to fewer (reading.css says to how many). Lines
# wrap, so this guesses high; a script of the page unfolds what fits.
MAX_LINES, CHARACTERS_PER_LINE = 25, 60


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One part of a message. `kind` is text, code, json, html, image, audio, link or file.

    `number` counts from 1. `segments` hold a text, each as (is it code, text). `size` counts the
    characters of a text or a link, else bytes. `shown` counts the characters that are shown.
    `name` and `declared_type` are what the message says of a file; `pixels` are width and height.
    """

    number: int
    type: str
    kind: str
    size: int
    segments: tuple[tuple[bool, str], ...] = ()
    html: str = ""
    href: str = ""
    shown: int = 0
    is_long: bool = False
    name: str = ""
    declared_type: str = ""
    pixels: tuple[int, int] | None = None

    @property
    def cut(self) -> bool:
        return 0 < self.shown < self.size


def shown_part(number: int, part: Part, renderer: PageRenderer | None) -> ShownPart:
    """The part; a text without a renderer is raw."""
    kind = escape_controls(part.type)
    if link := link_of(part):
        text = escape_controls(link)
        return ShownPart(number, kind, "link", len(link), ((False, text),), href=url_of(link))
    if media := media_of(part):
        return _shown_media(number, kind, media)
    if part.type == "text":
        return _shown_text(number, kind, part.value, renderer)
    return _shown_code(number, kind, "code", part.value)


def shown_result(number: int, part: Part) -> ShownPart:
    """A part of a tool's result: JSON is indented, and no text is Markdown."""
    if part.type == "text" and (indented := indented_json_text(part.value)):
        return _shown_code(number, "text", "json", indented)
    return shown_part(number, part, None)


def _shown_media(number: int, type: str, media: Media) -> ShownPart:  # noqa: A002
    return ShownPart(
        number,
        type,
        media.kind,
        len(media.data),
        name=media.name,
        declared_type=media.declared_type,
        pixels=image_size(media.data, media.mime),
    )


def _shown_text(number: int, kind: str, text: str, renderer: PageRenderer | None) -> ShownPart:
    if renderer and (rendered := renderer.beginning(text)):
        html, shown = rendered
        is_long = _is_long(text[:shown])
        return ShownPart(number, kind, "html", len(text), (), html, "", shown, is_long)
    beginning, shown = _beginning(text)
    segments, is_long = split_code(beginning), _is_long(beginning)
    return ShownPart(number, kind, "text", len(text), segments, "", "", shown, is_long)


def _shown_code(number: int, type: str, kind: str, text: str) -> ShownPart:  # noqa: A002
    beginning, shown = _beginning(text)
    segments, is_long = ((True, beginning),), _is_long(beginning)
    return ShownPart(number, type, kind, len(text), segments, "", "", shown, is_long)


def _beginning(text: str) -> tuple[str, int]:
    """The part of a text that a page shows, and of how many characters."""
    return escape_controls(text[:MAX_SHOWN_CHARACTERS]), min(len(text), MAX_SHOWN_CHARACTERS)


def _is_long(text: str) -> bool:
    return sum(1 + len(line) // CHARACTERS_PER_LINE for line in text.split("\n")) > MAX_LINES


def split_code(text: str) -> tuple[tuple[bool, str], ...]:
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


def kinds_in(beginnings: Iterable[str]) -> list[str]:
    """What there is beside text, from the first characters of some messages' JSON."""
    found = set()
    for beginning in beginnings:
        types = " ".join(part.type for part in parts_in(beginning)).lower()
        found |= {kind for kind in ("image", "audio", "file") if kind in types}
        # In a JSON string, these quotation marks would have a backslash in front.
        if beginning.startswith('{"role": "tool"') or '"tool_calls": [' in beginning:
            found.add("tools")
    return sorted(found)


def first_line(beginning: str | None) -> str:
    """The first line that is not empty, from the first characters of a message's JSON."""
    for part in parts_in(beginning or ""):
        line = next((line for line in part.value.splitlines() if line.strip()), "")
        if part.type == "text" and line:
            return escape_controls(line.strip())
        if part.type != "text":
            return f"[{escape_controls(part.type)}]"
    return ""
