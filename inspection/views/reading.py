"""Show a page of a conversation. Every view is logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from convstore.archive.history import History, MessageRow
from convstore.archive.search import MAX_QUERY_CHARACTERS
from convstore.escaping import escape_controls
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.export import FORMATS
from inspection.highlighting import Highlighter
from inspection.lists import neighbours_in_list
from inspection.metadata import pairs_of, title_of
from inspection.parts import MAX_SHOWN_CHARACTERS
from inspection.transcript import shown_messages
from inspection.views.access import READ, database_view, may_delete, may_list
from inspection.views.covering import view_of
from inspection.views.hits import opened_hit
from inspection.views.pages import (
    LIST_PARAMETER,
    conversation_or_404,
    list_url,
    list_with_pair_url,
    message_url,
    page_url,
    render_page,
    validated_data,
)

# How many messages a page shows before the one that was asked for.
CONTEXT_MESSAGES = 5
# The cookie that remembers for so many seconds how a user wants texts: one for each user.
TEXT_COOKIE, TEXT_COOKIE_SECONDS = "inspection_text_{}", 365 * 24 * 60 * 60
RAW, RENDERED = "raw", "rendered"


class TranscriptForm(forms.Form):
    """Which messages the page shows; by default, the last ones.

    With `position`, a message and some before it. With `start`, the messages from there on; with
    `before`, those before it. `go` and `date` lead to the page of a position or a time, and `text`
    chooses between raw and rendered texts.
    """

    position = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    start = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    before = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    go = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    date = forms.DateTimeField(required=False)
    text = forms.ChoiceField(choices=[(RAW, RAW), (RENDERED, RENDERED)], required=False)


@database_view(READ)
def transcript(request: HttpRequest, database: Database, key: UUID) -> HttpResponse:
    query = validated_data(TranscriptForm(request.GET))
    if query["text"]:
        return _remember_text(request, query["text"])
    conversation = conversation_or_404(database, key)
    history, length = History(database.alias, key), conversation.length or 0
    from_list = request.GET.get(LIST_PARAMETER)
    if go := query["go"] or (query["date"] and history.position_at(query["date"], length)):
        position = min(go, max(length, 1))
        return HttpResponseRedirect(message_url(database, key, position, from_list))
    rows = _requested_rows(history, query, length)
    positions = f"{rows[0].position} to {rows[-1].position}" if rows else "no messages"
    record(request, database, Action.READ, [(key, conversation.memory_id)], positions)
    is_raw = request.COOKIES.get(TEXT_COOKIE.format(request.user.pk)) == RAW
    context: dict[str, Any] = {
        "title": escape_controls(conversation.memory_id),
        "database": database,
        "conversation": conversation,
        "name": title_of(conversation),
        "pairs": [
            (list_with_pair_url(database, pair), pair.shown, pair.short_text)
            for pair in pairs_of(conversation)
        ],
        "positions": positions,
        "messages_shown": shown_messages(rows, markdown=not is_raw),
        "max_shown_characters": MAX_SHOWN_CHARACTERS,
        "max_query_characters": MAX_QUERY_CHARACTERS,
        "is_raw": is_raw,
        "view": view_of(request, database, conversation, rows),
        "hit": opened_hit(request, key, rows),
        "highlighter": Highlighter(),
        "formats": FORMATS,
        "may_delete": may_delete(request),
        "delete_url": page_url(database, "delete", id=key, list=from_list),
        "list": from_list,
        "back_url": list_url(database, from_list),
        **_page_urls(database, conversation, rows, from_list, is_raw),
        **_neighbour_urls(request, database, conversation, from_list),
    }
    return render_page(request, "transcript", context)


def _remember_text(request: HttpRequest, choice: str) -> HttpResponse:
    """Remember the choice, and show the same page without it in its URL."""
    parameters = request.GET.copy()
    del parameters["text"]
    response = HttpResponseRedirect(f"{request.path}?{parameters.urlencode()}")
    response.set_cookie(
        TEXT_COOKIE.format(request.user.pk),
        choice,
        TEXT_COOKIE_SECONDS,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def _requested_rows(history: History, query: Mapping[str, Any], length: int) -> list[MessageRow]:
    if query["start"]:
        return history.chunk_from(min(query["start"], max(length, 1)))
    if not query["position"]:
        return history.chunk_up_to((query["before"] or length + 1) - 1)
    position = min(query["position"], max(length, 1))
    rows = history.chunk_from(max(position - CONTEXT_MESSAGES, 1))
    # The messages before it may be so large that the page ends before it.
    return rows if rows and rows[-1].position >= position else history.chunk_from(position)


def _page_urls(
    database: Database,
    conversation: Any,
    rows: Sequence[MessageRow],
    from_list: str | None,
    is_raw: bool,
) -> dict[str, Any]:
    """The URLs of the other pages, and of this page with the other form of texts."""
    oldest, newest = conversation.oldest or 1, conversation.newest or 0
    first, last = (rows[0].position, rows[-1].position) if rows else (oldest, newest)
    url = partial(page_url, database, "change", conversation.pk, list=from_list)
    return {
        "oldest": oldest,
        "at_end": first > oldest and last >= newest,
        "first_url": url(start=oldest) if first > oldest else None,
        "earlier_url": url(before=first) if first > oldest else None,
        "later_url": url(start=last + 1) if last < newest else None,
        "last_url": url() if last < newest else None,
        "text_url": url(start=first, text=RENDERED if is_raw else RAW),
    }


def _neighbour_urls(
    request: HttpRequest, database: Database, conversation: Any, from_list: str | None
) -> dict[str, str | None]:
    """The URLs of the previous and next conversation, if this one was opened in the list."""
    if from_list is None or not may_list(request):
        return {}
    keys = neighbours_in_list(request, from_list, conversation)
    previous_url, next_url = (
        page_url(database, "change", key, list=from_list) if key else None for key in keys
    )
    return {"previous_url": previous_url, "next_url": next_url}
