"""Show the JSON of one message, its text, or one part of it. Every view is logged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import content_disposition_header

from convstore.archive.history import History, MessageRow
from convstore.escaping import (
    beginning_of_indented_json,
    escape_controls,
    escape_json,
    indented_json,
)
from convstore.media import Media, media_of
from convstore.messages import TOOL_CALLS, Message
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.highlighting import Highlighter
from inspection.items import ITEM, shown_item
from inspection.parts import MAX_SHOWN_CHARACTERS
from inspection.views.access import READ, database_view
from inspection.views.covering import is_covered
from inspection.views.pages import (
    LIST_PARAMETER,
    SANDBOX,
    SANDBOX_HEADERS,
    conversation_or_404,
    list_url,
    message_url,
    page_url,
    render_page,
)


@database_view(READ)
def message(request: HttpRequest, database: Database, key: UUID, position: int) -> HttpResponse:
    """A page with the JSON of one message, indented."""
    conversation = conversation_or_404(database, key)
    row = _open_message(request, database, conversation, position, Action.JSON, str(position))
    shown = escape_json(beginning_of_indented_json(row.body, MAX_SHOWN_CHARACTERS + 1))
    from_list = request.GET.get(LIST_PARAMETER)
    context: dict[str, Any] = {
        "title": f"JSON of message {position}",
        "database": database,
        "conversation": conversation,
        "position": position,
        "json": shown[:MAX_SHOWN_CHARACTERS],
        "cut": len(shown) > MAX_SHOWN_CHARACTERS,
        "size": len(row.body),
        "highlighter": Highlighter(),
        "max_shown_characters": MAX_SHOWN_CHARACTERS,
        "stored_url": page_url(database, "json", key, position),
        "message_url": message_url(database, key, position, from_list),
        "back_url": list_url(database, from_list),
    }
    return render_page(request, "message_json", context)


@database_view(READ)
def message_json(
    request: HttpRequest, database: Database, key: UUID, position: int
) -> HttpResponse:
    """The JSON of one message as it is stored, but with risky characters escaped."""
    conversation = conversation_or_404(database, key)
    row = _open_message(request, database, conversation, position, Action.JSON, str(position))
    return _sandboxed_response(escape_json(row.body).encode(), "application/json")


@database_view(READ)
def message_text(
    request: HttpRequest, database: Database, key: UUID, position: int
) -> HttpResponse:
    """What one message says, to copy: its texts, its calls, and what it is if it is an item."""
    conversation = conversation_or_404(database, key)
    row = _open_message(request, database, conversation, position, Action.PART, str(position))
    text = escape_controls("\n\n".join(_texts_to_copy(Message.from_json(row.body))))
    return _sandboxed_response(text.encode(), "text/plain; charset=utf-8")


def _texts_to_copy(message: Message) -> Iterator[str]:
    for part in message.parts:
        if media_of(part) is None and part.value:
            yield part.value
    if calls := message.extra.get(TOOL_CALLS):
        yield indented_json(calls)
    if item := shown_item(message, limit=None):
        yield item.text or indented_json(message.extra[ITEM])


@database_view(READ)
def part(
    request: HttpRequest, database: Database, key: UUID, position: int, number: int
) -> HttpResponse:
    """One part: a text, an image or audio for the browser, or a file to download."""
    conversation = conversation_or_404(database, key)
    row = _message_or_404(database, conversation, position)
    parts = Message.from_json(row.body).parts
    part = parts[number - 1] if 1 <= number <= len(parts) else None
    media = media_of(part) if part else None
    if not (_is_shown_inline(media) and is_covered(request, database, conversation, position)):
        _record(request, database, conversation, Action.PART, f"{position}/{number}")
    if part is None:
        raise Http404(f"Message {position} has {len(parts)} parts; there is no part {number}.")
    # No gzip: images and audio are compressed already, and a range counts uncompressed bytes.
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    if media is None:
        text = escape_controls(part.value)
        return _sandboxed_response(text.encode(), "text/plain; charset=utf-8")
    response = _range_response(request, media.data, media.mime)
    name = media.name or f"{position}-{number}.{media.extension}"
    response["Content-Disposition"] = content_disposition_header(media.kind == "file", name) or ""
    return response


def _open_message(
    request: HttpRequest,
    database: Database,
    conversation: Any,
    position: int,
    action: Action,
    detail: str,
) -> MessageRow:
    """Write an entry to the audit log and return the message. Raises Http404."""
    row = _message_or_404(database, conversation, position)
    _record(request, database, conversation, action, detail)
    return row


def _message_or_404(database: Database, conversation: Any, position: int) -> MessageRow:
    history = History(database.alias, conversation.pk)
    row = history.message(position) if position < 2**63 else None
    if row is None:
        raise Http404(f"The conversation has no message {position}.")
    return row


def _record(
    request: HttpRequest, database: Database, conversation: Any, action: Action, detail: str
) -> None:
    record(request, database, action, [(conversation.pk, conversation.memory_id)], detail)


def _is_shown_inline(media: Media | None) -> bool:
    return media is not None and media.kind != "file"


def _sandboxed_response(data: bytes, mime: str, status: int = 200) -> HttpResponse:
    response = HttpResponse(data, content_type=mime, status=status, headers=SANDBOX_HEADERS)
    if mime.startswith("image/"):
        # The page on which a browser shows a single image has inline styles.
        response["Content-Security-Policy"] = f"{SANDBOX}; style-src 'unsafe-inline'"
    return response


def _range_response(request: HttpRequest, data: bytes, mime: str) -> HttpResponse:
    """All bytes, or the one range of a Range header, which players need (RFC 9110, section 14)."""
    header = request.headers.get("Range", "")
    match = re.fullmatch(r"bytes=(?!-$)([0-9]{0,18})-([0-9]{0,18})", header)
    first, last = 0, len(data) - 1
    if match and match[1]:
        first, last = int(match[1]), min(int(match[2] or last), last)
    elif match and match[2]:
        first = max(0, len(data) - int(match[2]))
    if not match or first > last:
        response = _sandboxed_response(data, mime)
    else:
        response = _sandboxed_response(data[first : last + 1], mime, 206)
        response["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    response["Accept-Ranges"] = "bytes"
    return response
