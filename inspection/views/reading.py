"""A conversation as a transcript, its messages and their parts. Each opening is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from convstore.archive.history import Entry, History
from convstore.messages import Message
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.export import FORMATS
from inspection.inert import inert_json, visible
from inspection.media import media_of
from inspection.transcript import turns
from inspection.views.guard import (
    READ,
    SANDBOX,
    address,
    conversation_of,
    inspects,
    may_delete,
    page,
    valid,
)


class Place(forms.Form):
    """Where a page of a transcript begins, or ends; and how its texts are shown."""

    position = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    before = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    date = forms.DateTimeField(required=False)
    markdown = forms.BooleanField(required=False)


@inspects(READ)
def transcript(request: HttpRequest, database: Database, key: UUID) -> HttpResponse:
    place = valid(Place(request.GET))
    conversation = conversation_of(database, key)
    history, length = History(database.alias, key), conversation.length or 0
    markdown = 1 if place["markdown"] else None
    if place["date"]:
        at = min(history.position_at(place["date"], length), max(length, 1))
        there = address(database, "change", key, position=at, markdown=markdown)
        return HttpResponseRedirect(there)
    entries = _entries(history, place, length)
    span = _span(entries)
    record(request.user, database, Action.READ, [(key, conversation.memory_id)], span)
    context: dict[str, Any] = {
        "title": visible(conversation.memory_id),
        "database": database,
        "conversation": conversation,
        "span": span,
        "turns": turns(entries, markdown=bool(markdown)),
        "markdown": markdown,
        "formats": FORMATS,
        "may_delete": may_delete(request),
        "delete": address(database, "delete", id=key),
        **_neighbours(database, conversation, entries, markdown),
    }
    return page(request, "transcript", context)


def _entries(history: History, place: Mapping[str, Any], length: int) -> list[Entry]:
    """The messages of the page: those from a position on, or those before one, or the last."""
    if place["position"]:
        return history.from_position(min(place["position"], max(length, 1)))
    return history.up_to((place["before"] or length + 1) - 1)


def _neighbours(
    database: Database, conversation: Any, entries: Sequence[Entry], markdown: int | None
) -> dict[str, Any]:
    """The addresses of the pages around this one, and of this one with its other look."""
    length = conversation.length or 0
    oldest = length - conversation.count + 1  # not 1 where a deletion was cut off
    first, last = (entries[0].position, entries[-1].position) if entries else (oldest, length)
    to = partial(address, database, "change", conversation.pk)
    return {
        "oldest": oldest,
        "first": to(position=oldest, markdown=markdown) if first > oldest else None,
        "earlier": to(before=first, markdown=markdown) if first > oldest else None,
        "later": to(position=last + 1, markdown=markdown) if last < length else None,
        "newest": to(markdown=markdown) if last < length else None,
        "other_look": to(position=first, markdown=None if markdown else 1),
    }


def _span(entries: Sequence[Entry]) -> str:
    return f"{entries[0].position} to {entries[-1].position}" if entries else "no messages"


@inspects(READ)
def message(request: HttpRequest, database: Database, key: UUID, position: int) -> HttpResponse:
    """One message's JSON as it is stored; what acts instead of being seen is escaped."""
    entry = _entry(request, database, key, position, Action.JSON, str(position))
    return _as_it_was_said(inert_json(entry.body).encode(), "application/json")


@inspects(READ)
def part(
    request: HttpRequest, database: Database, key: UUID, position: int, number: int
) -> HttpResponse:
    """One part: an image or audio to be shown, a text, or a file to be downloaded."""
    which = f"{position}/{number}"
    entry = _entry(request, database, key, position, Action.PART, which)
    parts = Message.from_json(entry.body).parts
    if not 1 <= number <= len(parts):
        raise Http404(f"Message {position} has {len(parts)} parts; there is no part {number}.")
    media = media_of(parts[number - 1])
    # What these are is compressed already, and a range is one of the bytes themselves.
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    if media is None:
        text = visible(parts[number - 1].value)
        return _as_it_was_said(text.encode(), "text/plain; charset=utf-8")
    response = _ranged(request, media.data, media.mime)
    manner = "attachment" if media.kind == "file" else "inline"
    name = f"{position}-{number}.{media.extension}"
    response["Content-Disposition"] = f'{manner}; filename="{name}"'
    return response


def _entry(
    request: HttpRequest, database: Database, key: UUID, position: int, action: Action, detail: str
) -> Entry:
    """A message that is about to be shown. Raises Http404."""
    conversation = conversation_of(database, key)
    entry = History(database.alias, key).entry(position) if position < 2**63 else None
    if entry is None:
        raise Http404(f"The conversation has no message {position}.")
    record(request.user, database, action, [(key, conversation.memory_id)], detail)
    return entry


def _as_it_was_said(data: bytes, mime: str, status: int = 200) -> HttpResponse:
    # A browser that opens an image by itself puts a page with styles of its own around it.
    policy = f"{SANDBOX}; style-src 'unsafe-inline'" if mime.startswith("image/") else SANDBOX
    headers = {"Content-Security-Policy": policy, "Cross-Origin-Resource-Policy": "same-origin"}
    return HttpResponse(data, content_type=mime, status=status, headers=headers)


def _ranged(request: HttpRequest, data: bytes, mime: str) -> HttpResponse:
    """The bytes or the one range of them that is asked for: players need it (RFC 9110, 14)."""
    asked = request.headers.get("Range", "")
    wanted = re.fullmatch(r"bytes=(?!-$)([0-9]{0,18})-([0-9]{0,18})", asked)
    first, last = 0, len(data) - 1
    if wanted and wanted[1]:
        first, last = int(wanted[1]), min(int(wanted[2] or last), last)
    elif wanted and wanted[2]:
        first = max(0, len(data) - int(wanted[2]))
    if not wanted or first > last:
        response = _as_it_was_said(data, mime)
    else:
        response = _as_it_was_said(data[first : last + 1], mime, 206)
        response["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    response["Accept-Ranges"] = "bytes"
    return response
