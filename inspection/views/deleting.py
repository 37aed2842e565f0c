"""Delete conversations: a page to confirm, a reason for the audit log, and short requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import pluralize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from convstore.archive.conversations import conversations_with_keys
from convstore.archive.erasure import ErasureResult, erase
from convstore.database import faults
from convstore.escaping import escape_controls
from inspection.audit import Action, record, record_list
from inspection.databases import Database
from inspection.lists import ROWS_PER_PAGE
from inspection.views.access import DELETE, database_view
from inspection.views.pages import LIST_PARAMETER, list_url, render_page

# How long one request may delete, in seconds. Then the page sends the next request by itself.
DELETING_SECONDS = 5
# The most conversations in one deletion: as many as one page of the list has.
MAX_SELECTED = ROWS_PER_PAGE


class DeletionForm(forms.Form):
    """If a deletion takes several requests, `total` and `selected` come from the first one.

    They are the numbers of messages and of conversations.
    """

    reason = forms.CharField(max_length=500)
    total = forms.IntegerField(min_value=0, required=False)
    selected = forms.IntegerField(min_value=1, required=False)


@database_view(DELETE)
def delete(request: HttpRequest, database: Database) -> HttpResponse:
    """GET shows what would be deleted. POST deletes as much of it as the time allows."""
    if not (conversations := _selected_conversations(request, database)):
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
        "selected": len(conversations),
        "back": list_url(database, request.GET.get(LIST_PARAMETER)),
    }
    if request.method != "POST" or not form.is_valid():
        named = [(each.pk, each.memory_id) for each in conversations]
        record_list(request, database, Action.LIST, named, "ids; asked whether to delete them")
        return render_page(request, "delete", context, 400 if form.errors else 200)
    total = form.cleaned_data["total"] or count
    selected = form.cleaned_data["selected"] or len(conversations)
    _delete(request, database, conversations, form.cleaned_data["reason"])
    if not (left := _selected_conversations(request, database)):
        messages.success(request, _success(conversations, selected, total))
        return HttpResponseRedirect(context["back"])
    deleted = max(total - sum(each.message_count for each in left), 0)
    progress = {"is_running": True, "total": total, "deleted": deleted, "selected": selected}
    return render_page(request, "delete", {**context, "conversations": left, **progress})


def _delete(
    request: HttpRequest, database: Database, conversations: Sequence[Any], reason: str
) -> None:
    """Delete the conversations, one after the other, until the time is over."""
    deadline = time.monotonic() + DELETING_SECONDS
    for each in conversations:
        if (seconds_left := deadline - time.monotonic()) < 0:
            return
        delete_logged(request, database, each, reason, seconds_left)


def delete_logged(
    request: HttpRequest, database: Database, conversation: Any, reason: str, seconds: float
) -> ErasureResult:
    """Delete as much as the time allows, between two entries: without the first, nothing."""
    named = [(conversation.pk, conversation.memory_id)]
    before = f"{_number_of_messages(conversation.message_count)}; {reason}"
    record(request, database, Action.DELETE, named, before)
    try:
        result = erase(database.alias, conversation.pk, seconds)
    except Error as error:
        with suppress(Error):  # the log may be in the database that just failed
            sentence = faults.describe_error(database.alias, error)
            record(request, database, Action.FAILED, named, f"{sentence} {reason}")
        raise
    number = _number_of_messages(result.messages)
    if result.gone:
        record(request, database, Action.DELETED, named, f"the last {number}; {reason}")
    else:
        record(request, database, Action.STOPPED, named, f"after {number}; {reason}")
    return result


def _success(conversations: Sequence[Any], selected: int, total: int) -> SafeString:
    name = f"{selected} conversations"
    if selected == 1:
        name = escape_controls(conversations[0].memory_id)
    return format_html("Deleted <bdi>{}</bdi> ({}).", name, _number_of_messages(total))


def _number_of_messages(count: int) -> str:
    return f"{count:,} message{pluralize(count)}"


def _selected_conversations(request: HttpRequest, database: Database) -> list[Any]:
    """The existing ones of the conversations in the parameter `id`. Raises BadRequest."""
    try:
        keys = [UUID(text) for text in (request.POST or request.GET).getlist("id")]
    except ValueError:
        raise BadRequest("id: the key of a conversation must be a UUID.") from None
    if not 1 <= len(keys) <= MAX_SELECTED:
        raise BadRequest(f"{len(keys)} conversations were selected; select 1 to {MAX_SELECTED}.")
    return list(conversations_with_keys(database.alias, keys))
