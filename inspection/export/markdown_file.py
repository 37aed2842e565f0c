"""Markdown for people: a heading for each message, and what was said as quotations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from markdown_it import MarkdownIt

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.escaping import escape_controls, indented_json
from convstore.exchange import metadata
from convstore.media import Media, link_of, media_of
from convstore.messages import Message, Part

MediaPath = Callable[[int, int, Media], str]

# Parses block structure only; it is used to find the lines inside fences.
BLOCKS = MarkdownIt("commonmark").disable("inline")
# How an entity, a tag and both kinds of links begin, and the escaped form of each.
ESCAPES = {"&": "&amp;", "<": "&lt;", "](": "]\\(", "]:": "]\\:"}
TO_ESCAPE = re.compile("|".join(map(re.escape, ESCAPES)))


def markdown_chunks(
    conversation: ConversationRow,
    rows: Iterable[MessageRow],
    media_path: MediaPath | None = None,
) -> Iterator[str]:
    """A heading for each message; its texts are quoted, so that none can imitate a heading.

    `media_path` says where the file of a part is, if there are files beside this one.
    """
    yield f"# {_one_line(conversation.memory_id)}\n"
    if pairs := metadata.read(conversation.metadata):
        # The stars are in front of a name that could begin a heading.
        lines = (f"- *{_one_line(name)}*: {_one_line(value)}\n" for name, value in pairs.items())
        yield "\n" + "".join(lines)
    for row in rows:
        message = Message.from_json(row.body)
        at = row.created_at.isoformat(" ", "seconds")
        yield f"\n## {row.position}. {_one_line(message.role)}, {at}\n"
        for number, part in enumerate(message.parts, 1):
            yield "\n" + _markdown_part(part, row.position, number, media_path)
        if message.extra:
            yield "\n" + _quote(_fence(escape_controls(indented_json(message.extra)), "json"))
    yield "\n"


def _one_line(text: str) -> str:
    return _escape_markdown(" ".join(escape_controls(text).split()))


def _markdown_part(
    part: Part, position: int, number: int, media_path: MediaPath | None = None
) -> str:
    if link := link_of(part):
        return _quote(f"{_one_line(part.type)}: {_one_line(link)}")
    if media := media_of(part):
        name = f"{_one_line(media.name)}, " if media.name else ""
        about = f"{name}{media.shown_type}, {len(media.data)} bytes"
        if media_path:
            image = "!" if media.kind == "image" else ""
            about = f"{image}[{about}]({media_path(position, number, media)})"
        return _quote(f"{_one_line(part.type)}: {about}")
    text = escape_controls(part.value)
    return _quote_markdown(text) if part.type == "text" else _quote(_fence(text))


def _quote(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.split("\n"))


def _fence(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _quote_markdown(text: str) -> str:
    """The text's Markdown as a quotation; HTML, entities and links outside of fences are escaped.

    The fences must be found in the escaped and quoted text, which is what people open: escaping a
    tag can reveal a fence, and after `> ` a tab is narrower.
    """
    lines = text.split("\n")
    escaped = [_escape_markdown(line) for line in lines]
    for token in BLOCKS.parse(_quote("\n".join(escaped))):
        if token.type == "fence" and token.map:
            escaped[slice(*token.map)] = lines[slice(*token.map)]
    return _quote("\n".join(escaped))


def _escape_markdown(line: str) -> str:
    return TO_ESCAPE.sub(lambda match: ESCAPES[match[0]], line)
