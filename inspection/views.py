"""The admin's pages about one or some conversations. Each says who may open it, and is logged.

They translate: what is read is decided in convstore.reading and convstore.searching, what is
shown of it in inspection.transcript.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse

from convstore import faults
from convstore.erasure import counted, erase
from convstore.messages import Message
from convstore.models import Conversation
from convstore.reading import Entry, History
from convstore.searching import Found, by_index, in_last, in_one, words_of
from inspection.audit import Action, record
from inspection.databases import Database, chosen
from inspection.export import FORMATS, exported
from inspection.inert import inert_json, visible
from inspection.media import media_of
from inspection.transcript import turns

READ, DELETE = "convstore.view_message", "convstore.delete_conversation"
# What is served as it was said can do nothing, even where a browser opens it by itself.
SANDBOX = "default-src 'none'; sandbox"
# How long one request may delete, in seconds; the page then asks for the next one.
DELETING_SECONDS = 5
# The most conversations of one selection.
MOST_SELECTED = 50
# How much of a download is sent at once, in characters.
BLOCK = 64 * 1024


class Refused(Exception):
    """What was asked for is not right. The text is one sentence."""


def may_read(request: HttpRequest) -> bool:
    return request.user.has_perm(READ)


def may_delete(request: HttpRequest) -> bool:
    return request.user.has_perm(DELETE)


def guarded(permission: str) -> Callable[[Any], Any]:
    """A view, or a method that is one: for who has the permission; failures as a page."""

    def guard(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded_view(*args: Any, **kwargs: Any) -> HttpResponseBase:
            request: HttpRequest = next(arg for arg in args if isinstance(arg, HttpRequest))
            if not request.user.has_perm(permission):
                text = f"This needs the permission {permission}, which your user does not have."
                return problem(request, 403, text)
            try:
                return view(*args, **kwargs)
            except Refused as error:
                return problem(request, 400, str(error))
            except Http404 as error:
                return problem(request, 404, str(error))
            except Error as error:
                return problem(request, 503, faults.told(chosen(request).alias, error))

        return guarded_view

    return guard


def inspects(permission: str) -> Callable[[Any], Any]:
    """A view of the admin, called with the request and its database."""

    def inspect(view: Callable[..., HttpResponseBase]) -> Any:
        @wraps(view)
        def inspecting(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            return view(request, chosen(request), **kwargs)

        return admin.site.admin_view(guarded(permission)(inspecting))

    return inspect


def problem(request: HttpRequest, status: int, text: str) -> HttpResponse:
    context = {"title": "Not shown", "text": text}
    return _page(request, "problem", context, status)


def _page(
    request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    shared = {**admin.site.each_context(request), "opts": Conversation._meta}
    return render(request, f"inspection/{name}.html", {**shared, **context}, status=status)


def _valid(form: forms.Form) -> dict[str, Any]:
    """What the form holds. Raises Refused with the first thing that is wrong."""
    for field, errors in form.errors.items():
        raise Refused(f"{field}: {' '.join(map(str, errors))}")
    return form.cleaned_data


def _conversation(database: Database, key: UUID) -> Any:
    """The conversation, with its `length` and `count`. Raises Http404."""
    found = counted(Conversation.objects.using(database.alias)).filter(pk=key).first()
    if found is None:
        raise Http404("There is no such conversation in this database; it may have been deleted.")
    return found


def _address(database: Database, name: str, *args: object, **parameters: object) -> str:
    path = reverse(f"admin:convstore_conversation_{name}", args=args)
    return database.address(path, **parameters)


# --- Reading -----------------------------------------------------------------------------


class Place(forms.Form):
    """Where a page of a transcript begins, or ends; and how its texts are shown."""

    position = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    before = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    date = forms.DateTimeField(required=False)
    markdown = forms.BooleanField(required=False)


@inspects(READ)
def transcript(request: HttpRequest, database: Database, key: UUID) -> HttpResponse:
    place = _valid(Place(request.GET))
    conversation = _conversation(database, key)
    history, length = History(database.alias, key), conversation.length or 0
    markdown = 1 if place["markdown"] else None
    if place["date"]:
        at = min(history.position_at(place["date"], length), max(length, 1))
        page = _address(database, "change", key, position=at, markdown=markdown)
        return HttpResponseRedirect(page)
    if place["position"]:
        entries = history.from_position(min(place["position"], max(length, 1)))
    else:
        entries = history.up_to((place["before"] or length + 1) - 1)
    span = _span(entries)
    record(request.user, database, Action.READ, [(key, conversation.memory_id)], span)

    def page_of(**parameters: object) -> str:
        return _address(database, "change", key, markdown=markdown, **parameters)

    first, last = (entries[0].position, entries[-1].position) if entries else (1, length)
    oldest = length - conversation.count + 1  # not 1 where a deletion was cut off
    context: dict[str, Any] = {
        "title": visible(conversation.memory_id),
        "database": database,
        "conversation": conversation,
        "oldest": oldest,
        "span": span,
        "turns": turns(entries, markdown=bool(markdown)),
        "markdown": markdown,
        "other_look": _address(
            database, "change", key, position=first, markdown=None if markdown else 1
        ),
        "first": page_of(position=oldest) if first > oldest else None,
        "earlier": page_of(before=first) if first > oldest else None,
        "later": page_of(position=last + 1) if last < length else None,
        "newest": page_of() if last < length else None,
        "formats": FORMATS,
        "may_delete": may_delete(request),
        "delete": _address(database, "delete", id=key),
    }
    return _page(request, "transcript", context)


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
    conversation = _conversation(database, key)
    entry = History(database.alias, key).entry(position) if position < 2**63 else None
    if entry is None:
        raise Http404(f"The conversation has no message {position}.")
    record(request.user, database, action, [(key, conversation.memory_id)], detail)
    return entry


def _as_it_was_said(data: bytes, mime: str, status: int = 200) -> HttpResponse:
    headers = {"Content-Security-Policy": SANDBOX, "Cross-Origin-Resource-Policy": "same-origin"}
    return HttpResponse(data, content_type=mime, status=status, headers=headers)


def _ranged(request: HttpRequest, data: bytes, mime: str) -> HttpResponse:
    """The bytes or the one range of them that is asked for: players need it (RFC 9110, 14)."""
    wanted = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.headers.get("Range", ""))
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


# --- Searching ---------------------------------------------------------------------------


class Query(forms.Form):
    """What is looked for; in one conversation below a position, or after a conversation."""

    q = forms.CharField(max_length=200, required=False)
    conversation = forms.UUIDField(required=False)
    below = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    after = forms.UUIDField(required=False)
    last = forms.BooleanField(required=False)


@inspects(READ)
def search(request: HttpRequest, database: Database) -> HttpResponse:
    query = _valid(Query(request.GET))
    words = words_of(query["q"])
    key = query["conversation"]
    conversation = _conversation(database, key) if key else None
    found = by_words = None
    if words and conversation:
        found = in_one(
            database.alias, conversation, words, query["below"] or conversation.length + 1
        )
    elif words:
        looks_in_last = query["last"] or query["after"]
        found = by_words = None if looks_in_last else by_index(database.alias, words)
        after = _conversation(database, query["after"]) if query["after"] else None
        found = found or in_last(database.alias, words, after)
    # A search that goes on by itself is one search, until it shows something.
    if found and (found.hits or not (query["below"] or query["after"])):
        opened = {(hit.key, hit.memory_id) for hit in found.hits}
        searched = {(key, conversation.memory_id)} if conversation else {(None, "")}
        record(request.user, database, Action.SEARCH, opened or searched, query["q"])
    context = {
        "title": "Search what was said",
        "database": database,
        "conversation": conversation,
        "q": query["q"],
        "words": words,
        "found": found,
        "by_index": by_words is not None,
        "on": _further(database, query, found),
        "in_last": _address(database, "search", q=query["q"], last=1),
    }
    return _page(request, "search", context)


def _further(database: Database, query: dict[str, Any], found: Found | None) -> str | None:
    """The address at which the search goes on, if something is left."""
    if not found or not (found.below or found.after):
        return None
    after = found.after.pk if found.after else None
    here = {"q": query["q"], "conversation": query["conversation"]}
    return _address(database, "search", **here, below=found.below, after=after)


# --- Taking away, deleting ---------------------------------------------------------------


@inspects(READ)
def export(request: HttpRequest, database: Database, key: UUID, kind: str) -> HttpResponseBase:
    return file_of(request, database, [_conversation(database, key)], kind)


def file_of(
    request: HttpRequest, database: Database, conversations: Sequence[Conversation], kind: str
) -> HttpResponseBase:
    """A download of the conversations, made while it is sent."""
    if kind not in FORMATS:
        raise Http404(f"There is no such format; there are {', '.join(FORMATS)}.")
    opened = [(each.pk, each.memory_id) for each in conversations]
    record(request.user, database, Action.EXPORT, opened, kind)
    form = FORMATS[kind]
    name = conversations[0].memory_id if len(conversations) == 1 else "conversations"
    name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[:80] or "conversation"
    return StreamingHttpResponse(
        _blocks(exported(database.alias, conversations, form)),
        content_type=form.mime,
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{form.extension}"',
            "Content-Security-Policy": SANDBOX,
        },
    )


def _blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """The pieces in blocks of at least BLOCK characters, as UTF-8."""
    block: list[str] = []
    size = 0
    for piece in pieces:
        block.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield "".join(block).encode()
            block, size = [], 0
    yield "".join(block).encode()


class Deletion(forms.Form):
    reason = forms.CharField(max_length=500)
    total = forms.IntegerField(min_value=0, required=False)


@inspects(DELETE)
def delete(request: HttpRequest, database: Database) -> HttpResponse:
    """What would go, counted; by POST it goes, as much of it as a request has time for."""
    conversations = _selected(request, database)
    count = sum(each.count for each in conversations)
    form = Deletion(request.POST if request.method == "POST" else None)
    context = {
        "title": "Delete conversations",
        "database": database,
        "conversations": conversations,
        "count": count,
        "form": form,
        "total": count,
        "back": _address(database, "changelist"),
    }
    if request.method != "POST" or not form.is_valid():
        return _page(request, "delete", context, 400 if form.errors else 200)
    total = form.cleaned_data["total"] or count
    if _delete(request, database, conversations, form.cleaned_data["reason"]):
        messages.success(request, f"Deleted, with {total} messages.")
        return HttpResponseRedirect(context["back"])
    left = _selected(request, database)
    gone = max(total - sum(each.count for each in left), 0)
    going_on = {"conversations": left, "going_on": True, "total": total, "gone": gone}
    return _page(request, "delete", {**context, **going_on})


def _delete(
    request: HttpRequest, database: Database, conversations: Sequence[Any], reason: str
) -> bool:
    """Delete them one after the other while there is time; whether all are gone."""
    deadline = time.monotonic() + DELETING_SECONDS
    for each in conversations:
        if time.monotonic() > deadline:
            return False
        which = [(each.pk, each.memory_id)]
        told = f"{each.count} messages; {reason}"
        record(request.user, database, Action.DELETE, which, told)
        erased = erase(database.alias, each.pk, deadline - time.monotonic())
        if not erased.gone:
            return False
        record(
            request.user, database, Action.DELETED, which, f"{erased.messages} messages; {reason}"
        )
    return True


def _selected(request: HttpRequest, database: Database) -> list[Any]:
    """The conversations that the request names by `id`. Raises Refused."""
    try:
        keys = [UUID(text) for text in (request.POST or request.GET).getlist("id")]
    except ValueError:
        raise Refused("id: a conversation's key is a UUID.") from None
    if not 1 <= len(keys) <= MOST_SELECTED:
        raise Refused(f"Select from 1 to {MOST_SELECTED} conversations; {len(keys)} were named.")
    rows = counted(Conversation.objects.using(database.alias).filter(pk__in=keys))
    if not (found := list(rows.order_by("memory_id"))):
        raise Http404("There are no such conversations in this database any more.")
    return found
