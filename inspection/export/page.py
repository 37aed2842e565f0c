"""A page of HTML for handing over: one file with everything in it, to read and to print.

It has no script and loads nothing: its Content-Security-Policy allows its own style and the images
and sounds that are in the file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.escaping import escape_controls, indented_json, indented_json_text
from convstore.exchange import metadata
from convstore.media import Media, link_of, media_of
from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message, Part
from inspection.addresses import url_of
from inspection.calls import call_from
from inspection.highlighting import Highlighter
from inspection.image_sizes import image_size
from inspection.items import shown_item
from inspection.markdown import MAX_RENDERED, render_markdown

TEMPLATES = "inspection/export"
POLICY = (
    "default-src 'none'; style-src 'sha256-{}'; img-src data:; media-src data:;"
    " base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class PagePart:
    """A part. `kind` is markdown, text, code, link, image, audio or file.

    `text` is HTML in Markdown, a URL in a link, and a `data:` URL in media. `file_type` is said
    beside media; a browser is told no type that their bytes do not show.
    """

    kind: str
    type: str
    text: str
    size: int = 0
    pixels: tuple[int, int] | None = None
    file_type: str = ""


@cache
def page_begin() -> str:
    """The head of the file, with its style and the policy that allows only this style."""
    style = render_to_string(f"{TEMPLATES}/page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    context = {"style": SafeString(style), "policy": POLICY.format(digest)}
    return render_to_string(f"{TEMPLATES}/page_begin.html", context)


PAGE_END = "</body>\n</html>\n"


def page_chunks(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    pairs = metadata.read(conversation.metadata).items()
    context = {
        "memory_id": escape_controls(conversation.memory_id),
        "pairs": [(escape_controls(name), escape_controls(value)) for name, value in pairs],
    }
    yield render_to_string(f"{TEMPLATES}/page_title.html", context)
    for row in rows:
        yield render_to_string(f"{TEMPLATES}/page_message.html", _context(row))


def _context(row: MessageRow) -> dict[str, Any]:
    message = Message.from_json(row.body)
    extra = dict(message.extra)
    calls, answers = extra.pop(TOOL_CALLS, []), extra.pop(TOOL_CALL_ID, "")
    is_answer = message.role == "tool" or answers != ""
    return {
        "position": row.position,
        "role": escape_controls(message.role),
        "created_at": row.created_at,
        "parts": [
            _part(part, is_answer=is_answer)
            for part in message.parts
            if (part.type, part.value) != ("text", "")
        ],
        "calls": [_call(call) for call in (calls if isinstance(calls, list) else [calls])],
        "answers": escape_controls(str(answers)),
        "item": shown_item(message, limit=None),
        "extra": escape_controls(indented_json(extra)) if extra else "",
    }


def _call(call: Any) -> tuple[str, str]:
    """The line of a call, and all of its arguments."""
    shown = call_from(call)
    return shown.line, escape_controls(indented_json(call)) if shown.cut else shown.arguments


def _part(part: Part, *, is_answer: bool) -> PagePart:
    kind = escape_controls(part.type)
    if link := link_of(part):
        return PagePart("link", kind, url_of(link))
    if media := media_of(part):
        return _media(kind, media)
    if part.type != "text":
        return PagePart("code", kind, escape_controls(part.value))
    if is_answer:
        indented = indented_json_text(part.value)
        return PagePart("code" if indented else "text", "", escape_controls(indented or part.value))
    text = escape_controls(part.value)
    if len(text) > MAX_RENDERED:
        return PagePart("text", "", text)
    return PagePart("markdown", "", SafeString(render_markdown(text, Highlighter(seconds=0))))


def _media(kind: str, media: Media) -> PagePart:
    data = base64.b64encode(media.data).decode()
    return PagePart(
        media.kind,
        media.name or (f"{kind}.{media.extension}" if media.kind == "file" else kind),
        SafeString(f"data:{media.mime};base64,{data}"),
        len(media.data),
        image_size(media.data, media.mime),
        media.shown_type,
    )
