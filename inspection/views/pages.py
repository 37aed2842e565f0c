"""Shared by the pages: checked parameters, the conversation, HTML, URLs and headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import get_script_prefix, reverse

from convstore.archive.conversations import conversation_with_key
from inspection.databases import Database
from inspection.metadata import ShownPair

# The URL parameter with the query of the list from which a conversation was opened.
LIST_PARAMETER = "list"
# If a browser opens a part or an export as a page, this makes it run and load nothing.
SANDBOX = "default-src 'none'; sandbox"
SANDBOX_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": SANDBOX,
    "Cross-Origin-Resource-Policy": "same-origin",
}


def render_page(
    request: HttpRequest, name: str, context: Mapping[str, Any], status: int = 200
) -> HttpResponse:
    """Render the template inspection/`name`.html."""
    shared = admin.site.each_context(request)
    return render(request, f"inspection/{name}.html", {**shared, **context}, status=status)


def page_url(database: Database, name: str, *args: object, **parameters: object) -> str:
    """The URL of a page about conversations; `name` is a name in `ConversationAdmin.get_urls`.

    Parameters that are None are left out.
    """
    path = reverse(f"admin:convstore_conversation_{name}", args=args)
    return database.url(path, **parameters)


def service_url(request: HttpRequest) -> str:
    """The URL of the service, as the browser that asks has reached it."""
    return request.build_absolute_uri(get_script_prefix()).rstrip("/")


def list_url(database: Database, query: str | None) -> str:
    """The URL of the list of conversations: as it was left, if that is known."""
    if query is None:
        return page_url(database, "changelist")
    parameters = QueryDict(query).urlencode()
    return reverse("admin:convstore_conversation_changelist") + (parameters and f"?{parameters}")


def list_with_pair_url(database: Database, pair: ShownPair) -> str:
    """The URL of the list of conversations with this pair in their metadata."""
    return page_url(database, "changelist", pair=pair.name, value=pair.value)


def message_url(database: Database, key: UUID, position: int, from_list: str | None = None) -> str:
    """The URL of the page with this message, which leads to the message itself."""
    url = page_url(database, "change", key, position=position, list=from_list)
    return f"{url}#message-{position}"


def conversation_or_404(database: Database, key: UUID) -> Any:
    """The conversation as `conversation_with_key` returns it. Raises Http404."""
    conversation = conversation_with_key(database.alias, key)
    if conversation is None:
        raise Http404("There is no such conversation in this database; it may have been deleted.")
    return conversation


def validated_data(form: forms.Form) -> dict[str, Any]:
    """The data of the form. Raises BadRequest, which names the first invalid field."""
    for field, errors in form.errors.items():
        raise BadRequest(f"{field}: {' '.join(map(str, errors))}")
    return form.cleaned_data
