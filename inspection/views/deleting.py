"""Conversations deleted: counted before, with a reason, and in requests of bounded time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import pluralize

from convstore.archive.erasure import counted, erase
from convstore.models import Conversation
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.views.guard import DELETE, Refused, address, inspects, page

# How long one request may delete, in seconds; the page then asks for the next one.
DELETING_SECONDS = 5
# The most conversations of one selection.
MOST_SELECTED = 50


class Deletion(forms.Form):
    reason = forms.CharField(max_length=500)
    total = forms.IntegerField(min_value=0, required=False)


@inspects(DELETE)
def delete(request: HttpRequest, database: Database) -> HttpResponse:
    """What would go, counted; by POST it goes, as much of it as a request has time for."""
    if not (conversations := _selected(request, database)):
        raise Http404("There are no such conversations in this database any more.")
    count = sum(each.count for each in conversations)
    form = Deletion(request.POST if request.method == "POST" else None)
    context = {
        "title": "Delete conversations",
        "database": database,
        "conversations": conversations,
        "count": count,
        "form": form,
        "total": count,
        "back": address(database, "changelist"),
    }
    if request.method != "POST" or not form.is_valid():
        return page(request, "delete", context, 400 if form.errors else 200)
    total = form.cleaned_data["total"] or count
    _delete(request, database, conversations, form.cleaned_data["reason"])
    if not (left := _selected(request, database)):
        messages.success(request, f"Deleted, with {_counted(total)}.")
        return HttpResponseRedirect(context["back"])
    gone = max(total - sum(each.count for each in left), 0)
    going_on = {"conversations": left, "going_on": True, "total": total, "gone": gone}
    return page(request, "delete", {**context, **going_on})


def _delete(
    request: HttpRequest, database: Database, conversations: Sequence[Any], reason: str
) -> None:
    """Delete them one after the other while there is time."""
    deadline = time.monotonic() + DELETING_SECONDS
    for each in conversations:
        if (left := deadline - time.monotonic()) < 0:
            return
        which = [(each.pk, each.memory_id)]
        record(request.user, database, Action.DELETE, which, f"{_counted(each.count)}; {reason}")
        erased = erase(database.alias, each.pk, left)
        if erased.gone:
            told = f"the last {_counted(erased.messages)}; {reason}"
            record(request.user, database, Action.DELETED, which, told)


def _counted(messages: int) -> str:
    return f"{messages:,} message{pluralize(messages)}"


def _selected(request: HttpRequest, database: Database) -> list[Any]:
    """Those of the conversations that the request names by `id` which are there. Raises Refused."""
    try:
        keys = [UUID(text) for text in (request.POST or request.GET).getlist("id")]
    except ValueError:
        raise Refused("id: a conversation's key is a UUID.") from None
    if not 1 <= len(keys) <= MOST_SELECTED:
        raise Refused(f"Select from 1 to {MOST_SELECTED} conversations; {len(keys)} were named.")
    rows = counted(Conversation.objects.using(database.alias).filter(pk__in=keys))
    return list(rows.order_by("memory_id"))
