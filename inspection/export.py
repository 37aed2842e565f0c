"""Conversations as files: OpenAI's chat format, Markdown, or exactly as they are stored.

Each is made piece by piece, so that a conversation of a million messages needs no memory.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt

from convstore.archive.history import Entry, History
from convstore.messages import Message, Part, dumps
from convstore.models import Conversation
from inspection.inert import inert_json, set_out, visible
from inspection.media import link_of, media_of

# Messages that are read at once.
PIECE = 500


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: what it is called and how it is made of one conversation's messages."""

    title: str
    extension: str
    mime: str
    made: Callable[[Conversation, Iterable[Entry]], Iterator[str]]


def exported(using: str, conversations: Iterable[Conversation], kind: Format) -> Iterator[str]:
    """The file, in pieces: each conversation as it stood when its turn came."""
    for conversation in conversations:
        history = History(using, conversation.pk)
        pieces = history.pieces(history.length(), PIECE)
        yield from kind.made(conversation, (entry for piece in pieces for entry in piece))


def stored(conversation: Conversation, entries: Iterable[Entry]) -> Iterator[str]:
    """One line a message: `body` holds its JSON as it is stored, to the letter."""
    for entry in entries:
        line = {
            "memory_id": conversation.memory_id,
            "position": entry.position,
            "created_at": entry.created_at.isoformat(),
            "body": entry.body,
        }
        yield inert_json(dumps(line)) + "\n"


# --- OpenAI's chat format ----------------------------------------------------------------


def openai(conversation: Conversation, entries: Iterable[Entry]) -> Iterator[str]:
    """One line a conversation, as Chat Completions takes it: `{"metadata", "messages"}`.

    Its reference: platform.openai.com/docs/api-reference/chat/create.
    """
    metadata = dumps({"memory_id": conversation.memory_id})
    yield f'{{"metadata": {inert_json(metadata)}, "messages": ['
    for n, entry in enumerate(entries):
        message = _openai_message(Message.from_json(entry.body))
        yield (", " if n else "") + inert_json(dumps(message))
    yield "]}\n"


def _openai_message(message: Message) -> dict[str, Any]:
    content: Any = [_openai_part(part) for part in message.parts]
    if [part.type for part in message.parts] in ([], ["text"]):
        content = "".join(part.value for part in message.parts)
    if message.extra.get("tool_calls") and not content:
        content = None  # as OpenAI spells a message that only calls
    also = dict(message.extra)
    if isinstance(calls := also.get("tool_calls"), list):
        also["tool_calls"] = [_openai_call(call) for call in calls]
    return {"role": message.role, "content": content, **also}


def _openai_call(call: Any) -> Any:
    """OpenAI's arguments are JSON in a string, which not every client sends."""
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

# Only which lines are fenced is asked.
BLOCKS = MarkdownIt("commonmark").disable("inline")
# Outside of code: what would begin a tag, an entity, a link or the address of one.
ACTIVE = {"&": "&amp;", "<": "&lt;", "](": "]\\(", "]:": "]\\:"}
ACTIVE_WORDS = re.compile("|".join(map(re.escape, ACTIVE)))


def markdown(conversation: Conversation, entries: Iterable[Entry]) -> Iterator[str]:
    """A heading for each message; its texts quoted under it, so that none can pass for another."""
    yield f"# {_line(conversation.memory_id)}\n"
    for entry in entries:
        message = Message.from_json(entry.body)
        at = entry.created_at.isoformat(" ", "seconds")
        yield f"\n## {entry.position}. {_line(message.role)}, {at}\n"
        for part in message.parts:
            yield "\n" + _markdown_part(part)
        if message.extra:
            yield "\n" + _quoted(_fenced(visible(set_out(message.extra)), "json"))
    yield "\n"


def _line(text: str) -> str:
    return _harmless(" ".join(visible(text).split()))


def _markdown_part(part: Part) -> str:
    if link := link_of(part):
        return _quoted(f"{_line(part.type)}: {_line(link)}")
    if media := media_of(part):
        return _quoted(f"{_line(part.type)}: {media.mime}, {len(media.data)} bytes")
    text = visible(part.value)
    return _quoted_without_action(text) if part.type == "text" else _quoted(_fenced(text))


def _quoted(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.split("\n"))


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _quoted_without_action(text: str) -> str:
    """The text's Markdown, quoted, without HTML, entities and links, all of which stay readable.

    What is fenced is code to every reader, and stays as it is. Where the fences are is asked of
    what is handed out: a tag that is none any more hides no fence, and a tab behind a quotation
    mark is narrower.
    """
    lines = text.split("\n")
    harmless = [_harmless(line) for line in lines]
    for token in BLOCKS.parse(_quoted("\n".join(harmless))):
        if token.type == "fence" and token.map:
            harmless[slice(*token.map)] = lines[slice(*token.map)]
    return _quoted("\n".join(harmless))


def _harmless(line: str) -> str:
    return ACTIVE_WORDS.sub(lambda found: ACTIVE[found[0]], line)


FORMATS: Mapping[str, Format] = {
    "openai": Format("OpenAI chat (JSONL)", "jsonl", "application/jsonl", openai),
    "markdown": Format("Markdown", "md", "text/markdown; charset=utf-8", markdown),
    "stored": Format("as stored (JSONL)", "jsonl", "application/jsonl", stored),
}
