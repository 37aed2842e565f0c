"""Export formats: OpenAI's chat format, Markdown, and JSONL exactly as stored.

A file is produced in chunks, so a long conversation does not need more memory than a short one.
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

# How many messages are read from the database at once.
MESSAGES_PER_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. `conversation_chunks` yields the text of one conversation."""

    title: str
    extension: str
    mime: str
    conversation_chunks: Callable[[ConversationRow, Iterable[MessageRow]], Iterator[str]]


def file_chunks(
    using: str,
    conversations: Iterable[ConversationRow],
    file_format: Format,
    standby: str | None = None,
) -> Iterator[str]:
    """The file in chunks. Messages that arrive during the export are left out."""
    for conversation in conversations:
        history = History(using, conversation.pk, standby)
        chunks = history.chunks(history.length(), MESSAGES_PER_CHUNK)
        rows = (row for chunk in chunks for row in chunk)
        yield from file_format.conversation_chunks(conversation, rows)


def stored_lines(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line for each message; `body` is exactly the JSON that is stored."""
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
    """One line for each conversation: `metadata` and `messages` of a Chat Completions request.

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
    """The call with its arguments as a JSON string, which OpenAI requires."""
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

# Parses block structure only; it is used to find the lines inside fences.
BLOCKS = MarkdownIt("commonmark").disable("inline")
# How an entity, a tag and both kinds of links begin, and the escaped form of each.
ESCAPES = {"&": "&amp;", "<": "&lt;", "](": "]\\(", "]:": "]\\:"}
TO_ESCAPE = re.compile("|".join(map(re.escape, ESCAPES)))


def markdown_chunks(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """A heading for each message; its texts are quoted, so that none can imitate a heading."""
    yield f"# {_one_line(conversation.memory_id)}\n"
    for row in rows:
        message = Message.from_json(row.body)
        at = row.created_at.isoformat(" ", "seconds")
        yield f"\n## {row.position}. {_one_line(message.role)}, {at}\n"
        for part in message.parts:
            yield "\n" + _markdown_part(part)
        if message.extra:
            yield "\n" + _quote(_fence(escape_controls(indented_json(message.extra)), "json"))
    yield "\n"


def _one_line(text: str) -> str:
    return _escape_markdown(" ".join(escape_controls(text).split()))


def _markdown_part(part: Part) -> str:
    if link := link_of(part):
        return _quote(f"{_one_line(part.type)}: {_one_line(link)}")
    if media := media_of(part):
        return _quote(f"{_one_line(part.type)}: {media.mime}, {len(media.data)} bytes")
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


FORMATS: Mapping[str, Format] = {
    "openai": Format("OpenAI chat (JSONL)", "jsonl", "application/jsonl", openai_line),
    "markdown": Format("Markdown", "md", "text/markdown; charset=utf-8", markdown_chunks),
    "stored": Format("as stored (JSONL)", "jsonl", "application/jsonl", stored_lines),
}
