"""Deletion of conversations: with a count in advance, a reason, and requests of bounded time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import pluralize

from convstore.archive.conversations import conversations_with_keys
from convstore.archive.erasure import erase
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.lists import ROWS_PER_PAGE
from inspection.views.access import DELETE, database_view
from inspection.views.pages import page_url, render_page

# How long one request may delete, in seconds. After that, the page sends the next request.
DELETING_SECONDS = 5
# The most conversations that one deletion may name: those of one page of the list.
MOST_SELECTED = ROWS_PER_PAGE


class DeletionForm(forms.Form):
    """`total` is the number of messages before the first of several requests."""

    reason = forms.CharField(max_length=500)
    total = forms.IntegerField(min_value=0, required=False)


@database_view(DELETE)
def delete(request: HttpRequest, database: Database) -> HttpResponse:
    """GET shows what would be deleted. POST deletes as much of it as there is time for."""
    if not (conversations := _selected(request, database)):
        raise Http404("These conversations are no longer in this database.")
    count = sum(each.message_count for each in conversations)
    form = DeletionForm(request.POST if request.method == "POST" else None)
    context = {
        "title": "Delete conversations",
        "database": database,
        "conversations": conversations,
        "count": count,
        "form": form,
        "total": count,
        "back": page_url(database, "changelist"),
    }
    if request.method != "POST" or not form.is_valid():
        return render_page(request, "delete", context, 400 if form.errors else 200)
    total = form.cleaned_data["total"] or count
    _delete(request, database, conversations, form.cleaned_data["reason"])
    if not (left := _selected(request, database)):
        messages.success(request, f"Deleted, with {_number_of_messages(total)}.")
        return HttpResponseRedirect(context["back"])
    deleted = max(total - sum(each.message_count for each in left), 0)
    progress = {"conversations": left, "is_running": True, "total": total, "deleted": deleted}
    return render_page(request, "delete", {**context, **progress})


def _delete(
    request: HttpRequest, database: Database, conversations: Sequence[Any], reason: str
) -> None:
    """Delete the conversations, one after the other, until the time is up."""
    deadline = time.monotonic() + DELETING_SECONDS
    for each in conversations:
        if (seconds_left := deadline - time.monotonic()) < 0:
            return
        conversation = [(each.pk, each.memory_id)]
        before = f"{_number_of_messages(each.message_count)}; {reason}"
        record(request.user, database, Action.DELETE, conversation, before)
        result = erase(database.alias, each.pk, seconds_left)
        if result.gone:
            after = f"the last {_number_of_messages(result.messages)}; {reason}"
            record(request.user, database, Action.DELETED, conversation, after)


def _number_of_messages(count: int) -> str:
    return f"{count:,} message{pluralize(count)}"


def _selected(request: HttpRequest, database: Database) -> list[Any]:
    """The conversations named by `id` that exist. Raises BadRequest."""
    try:
        keys = [UUID(text) for text in (request.POST or request.GET).getlist("id")]
    except ValueError:
        raise BadRequest("id: a conversation's key must be a UUID.") from None
    if not 1 <= len(keys) <= MOST_SELECTED:
        raise BadRequest(f"{len(keys)} conversations were selected; select 1 to {MOST_SELECTED}.")
    return list(conversations_with_keys(database.alias, keys))
