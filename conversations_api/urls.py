"""The routes: under /v1 the memory of CONVERSATIONS_MEMORY, under /memories/<name>/v1 any other."""

from __future__ import annotations

import re
from typing import Any

from django.urls import URLPattern, re_path

from conversations_api import views

CONVERSATIONS = "/v1/conversations"
CONVERSATION = "/v1/conversations/<shown>"
ITEMS = "/v1/conversations/<shown>/items"
ITEM = "/v1/conversations/<shown>/items/<item>"
FORK = "/v1/conversations/<shown>/fork"
NAMED = "/memories/<memory>"


def route(template: str, view: Any) -> URLPattern:
    """A route whose name is its template, by which requests are counted."""
    literals = re.split(r"<(\w+)>", template.strip("/"))
    pattern = "".join(
        f"(?P<{text}>[^/]+)" if n % 2 else re.escape(text) for n, text in enumerate(literals)
    )
    found: URLPattern = re_path(f"^{pattern}/?$", view, name=template)
    return found


VIEWS = {
    ITEMS: views.ItemList.as_view(),
    ITEM: views.Item.as_view(),
    FORK: views.Fork.as_view(),
    CONVERSATIONS: views.ConversationList.as_view(),
    CONVERSATION: views.Conversation.as_view(),
}
urlpatterns = [
    *(
        route(f"{under}{template}", view)
        for under in ("", NAMED)
        for template, view in VIEWS.items()
    ),
    re_path("^v1(?:/|$)", views.Elsewhere.as_view(), name="/v1/"),
    re_path("^memories/[^/]+/v1(?:/|$)", views.Elsewhere.as_view(), name=f"{NAMED}/v1/"),
]
