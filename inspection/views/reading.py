"""Show a conversation, the JSON of one message, or one part. Every view is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from convstore.archive.history import History, MessageRow
from convstore.archive.search import MAX_QUERY_CHARACTERS
from convstore.messages import Message
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.escaping import escape_controls, escape_json
from inspection.export import FORMATS
from inspection.media import media_of
from inspection.transcript import MAX_SHOWN_CHARACTERS, shown_messages
from inspection.views.access import READ, database_view, may_delete
from inspection.views.pages import (
    SANDBOX,
    SANDBOX_HEADERS,
    conversation_or_404,
    page_url,
    render_page,
    validated_data,
)


class TranscriptForm(forms.Form):
    """The page begins at `position` or `date`, or ends before `before`; by default, the last."""

    position = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    before = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    date = forms.DateTimeField(required=False)
    markdown = forms.BooleanField(required=False)


@database_view(READ)
def transcript(request: HttpRequest, database: Database, key: UUID) -> HttpResponse:
    query = validated_data(TranscriptForm(request.GET))
    conversation = conversation_or_404(database, key)
    history, length = History(database.alias, key), conversation.length or 0
    markdown = 1 if query["markdown"] else None
    if query["date"]:
        position = min(history.position_at(query["date"], length), max(length, 1))
        to = page_url(database, "change", key, position=position, markdown=markdown)
        return HttpResponseRedirect(to)
    rows = _requested_rows(history, query, length)
    positions = f"{rows[0].position} to {rows[-1].position}" if rows else "no messages"
    record(request.user, database, Action.READ, [(key, conversation.memory_id)], positions)
    context: dict[str, Any] = {
        "title": escape_controls(conversation.memory_id),
        "database": database,
        "conversation": conversation,
        "positions": positions,
        "messages_shown": shown_messages(rows, markdown=bool(markdown)),
        "max_shown_characters": MAX_SHOWN_CHARACTERS,
        "max_query_characters": MAX_QUERY_CHARACTERS,
        "markdown": markdown,
        "formats": FORMATS,
        "may_delete": may_delete(request),
        "delete_url": page_url(database, "delete", id=key),
        **_page_urls(database, conversation, rows, markdown),
    }
    return render_page(request, "transcript", context)


def _requested_rows(history: History, query: Mapping[str, Any], length: int) -> list[MessageRow]:
    """The messages that begin at a position, that end before one, or the last ones."""
    if query["position"]:
        return history.chunk_from(min(query["position"], max(length, 1)))
    return history.chunk_up_to((query["before"] or length + 1) - 1)


def _page_urls(
    database: Database, conversation: Any, rows: Sequence[MessageRow], markdown: int | None
) -> dict[str, Any]:
    """The URLs of the other pages, and of this page with or without Markdown."""
    oldest, newest = conversation.oldest or 1, conversation.newest or 0
    first, last = (rows[0].position, rows[-1].position) if rows else (oldest, newest)
    url = partial(page_url, database, "change", conversation.pk)
    return {
        "oldest": oldest,
        "first_url": url(position=oldest, markdown=markdown) if first > oldest else None,
        "earlier_url": url(before=first, markdown=markdown) if first > oldest else None,
        "later_url": url(position=last + 1, markdown=markdown) if last < newest else None,
        "last_url": url(markdown=markdown) if last < newest else None,
        "markdown_url": url(position=first, markdown=None if markdown else 1),
    }


@database_view(READ)
def message(request: HttpRequest, database: Database, key: UUID, position: int) -> HttpResponse:
    """The JSON of one message as it is stored, but with risky characters escaped."""
    row = _open_message(request, database, key, position, Action.JSON, str(position))
    return _sandboxed_response(escape_json(row.body).encode(), "application/json")


@database_view(READ)
def part(
    request: HttpRequest, database: Database, key: UUID, position: int, number: int
) -> HttpResponse:
    """One part: a text, an image or audio for the browser, or a file to download."""
    row = _open_message(request, database, key, position, Action.PART, f"{position}/{number}")
    parts = Message.from_json(row.body).parts
    if not 1 <= number <= len(parts):
        raise Http404(f"Message {position} has {len(parts)} parts; there is no part {number}.")
    media = media_of(parts[number - 1])
    # No gzip: images and audio are compressed already, and a range counts uncompressed bytes.
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    if media is None:
        text = escape_controls(parts[number - 1].value)
        return _sandboxed_response(text.encode(), "text/plain; charset=utf-8")
    response = _range_response(request, media.data, media.mime)
    disposition = "attachment" if media.kind == "file" else "inline"
    name = f"{position}-{number}.{media.extension}"
    response["Content-Disposition"] = f'{disposition}; filename="{name}"'
    return response


def _open_message(
    request: HttpRequest, database: Database, key: UUID, position: int, action: Action, detail: str
) -> MessageRow:
    """Write an entry to the audit log and return the message. Raises Http404."""
    conversation = conversation_or_404(database, key)
    row = History(database.alias, key).message(position) if position < 2**63 else None
    if row is None:
        raise Http404(f"The conversation has no message {position}.")
    record(request.user, database, action, [(key, conversation.memory_id)], detail)
    return row


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
