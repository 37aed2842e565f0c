"""Conversations as files: OpenAI's chat format, Markdown, or exactly as they are stored.

A file is made piece by piece, so the memory that it needs does not grow with the conversation.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import History, MessageRow
from convstore.messages import Message, Part, dumps
from inspection.escaping import escape_controls, escape_json, indented_json
from inspection.media import link_of, media_of

# How many messages are read at once.
PIECE = 500


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file; `conversation_pieces` makes its text for one conversation."""

    title: str
    extension: str
    mime: str
    conversation_pieces: Callable[[ConversationRow, Iterable[MessageRow]], Iterator[str]]


def file_pieces(
    using: str, conversations: Iterable[ConversationRow], file_format: Format
) -> Iterator[str]:
    """The file in pieces. Messages that arrive while their conversation is read are left out."""
    for conversation in conversations:
        history = History(using, conversation.pk)
        pieces = history.pieces(history.length(), PIECE)
        rows = (row for piece in pieces for row in piece)
        yield from file_format.conversation_pieces(conversation, rows)


def stored_lines(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line a message; `body` is exactly the JSON that is stored."""
    for row in rows:
        line = {
            "memory_id": conversation.memory_id,
            "position": row.position,
            "created_at": row.created_at.isoformat(),
            "body": row.body,
        }
        yield escape_json(dumps(line)) + "\n"


# --- OpenAI's chat format ----------------------------------------------------------------


def openai_line(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line a conversation: `{"metadata", "messages"}`, which Chat Completions takes.

    The reference is platform.openai.com/docs/api-reference/chat/create.
    """
    metadata = dumps({"memory_id": conversation.memory_id})
    yield f'{{"metadata": {escape_json(metadata)}, "messages": ['
    for n, row in enumerate(rows):
        message = _openai_message(Message.from_json(row.body))
        yield (", " if n else "") + escape_json(dumps(message))
    yield "]}\n"


def _openai_message(message: Message) -> dict[str, Any]:
    content: Any = [_openai_part(part) for part in message.parts]
    if [part.type for part in message.parts] in ([], ["text"]):
        content = "".join(part.value for part in message.parts)
    if message.extra.get("tool_calls") and not content:
        content = None  # OpenAI's form of a message that only calls tools
    extra = dict(message.extra)
    if isinstance(calls := extra.get("tool_calls"), list):
        extra["tool_calls"] = [_openai_call(call) for call in calls]
    return {"role": message.role, "content": content, **extra}


def _openai_call(call: Any) -> Any:
    """A call in OpenAI's form, whose arguments are JSON in a string; not all clients send that."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments", "")
    text = arguments if isinstance(arguments, str) else dumps(arguments)
    return {"type": "function", **call, "function": {**function, "arguments": text}}


def _openai_part(part: Part) -> dict[str, Any]:
    media = media_of(part)
    if media is None:
        link = link_of(part)
        if link and "image" in part.type:
            return {"type": "image_url", "image_url": {"url": link}}
        return {"type": "text", "text": part.value}
    data = base64.b64encode(media.data).decode()
    if media.mime in ("audio/wav", "audio/mpeg"):
        return {"type": "input_audio", "input_audio": {"data": data, "format": media.extension}}
    url = f"data:{media.mime};base64,{data}"
    if media.kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    name = f"{part.type}.{media.extension}"
    return {"type": "file", "file": {"filename": name, "file_data": url}}


# --- Markdown ----------------------------------------------------------------------------

# Used only to find out which lines are inside a fence.
BLOCKS = MarkdownIt("commonmark").disable("inline")
# What begins a tag, an entity or a link outside of code, and how it is written instead.
ESCAPES = {"&": "&amp;", "<": "&lt;", "](": "]\\(", "]:": "]\\:"}
ESCAPED = re.compile("|".join(map(re.escape, ESCAPES)))


def markdown_pieces(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """A heading for each message, and its texts quoted, so that no text can imitate a heading."""
    yield f"# {_one_line(conversation.memory_id)}\n"
    for row in rows:
        message = Message.from_json(row.body)
        at = row.created_at.isoformat(" ", "seconds")
        yield f"\n## {row.position}. {_one_line(message.role)}, {at}\n"
        for part in message.parts:
            yield "\n" + _markdown_part(part)
        if message.extra:
            yield "\n" + _quoted(_fenced(escape_controls(indented_json(message.extra)), "json"))
    yield "\n"


def _one_line(text: str) -> str:
    return _escape_markdown(" ".join(escape_controls(text).split()))


def _markdown_part(part: Part) -> str:
    if link := link_of(part):
        return _quoted(f"{_one_line(part.type)}: {_one_line(link)}")
    if media := media_of(part):
        return _quoted(f"{_one_line(part.type)}: {media.mime}, {len(media.data)} bytes")
    text = escape_controls(part.value)
    return _quoted_markdown(text) if part.type == "text" else _quoted(_fenced(text))


def _quoted(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.split("\n"))


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _quoted_markdown(text: str) -> str:
    """The text's Markdown, quoted; HTML, entities and links are escaped outside of fences.

    The fences are those of the escaped and quoted text, which is the text that people open:
    escaping can uncover a fence that a tag hid, and behind `> ` a tab is narrower.
    """
    lines = text.split("\n")
    escaped = [_escape_markdown(line) for line in lines]
    for token in BLOCKS.parse(_quoted("\n".join(escaped))):
        if token.type == "fence" and token.map:
            escaped[slice(*token.map)] = lines[slice(*token.map)]
    return _quoted("\n".join(escaped))


def _escape_markdown(line: str) -> str:
    return ESCAPED.sub(lambda match: ESCAPES[match[0]], line)


FORMATS: Mapping[str, Format] = {
    "openai": Format("OpenAI chat (JSONL)", "jsonl", "application/jsonl", openai_line),
    "markdown": Format("Markdown", "md", "text/markdown; charset=utf-8", markdown_pieces),
    "stored": Format("as stored (JSONL)", "jsonl", "application/jsonl", stored_lines),
}
