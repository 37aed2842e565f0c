"""Search for words in messages. The page says how much was searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from convstore.archive.search import (
    LAST_MESSAGES,
    MAX_QUERY_CHARACTERS,
    SearchResult,
    query_words,
    search_conversation,
    search_last_messages,
    search_word_index,
)
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.views.access import READ, database_view
from inspection.views.pages import conversation_or_404, page_url, render_page, validated_data


class SearchForm(forms.Form):
    """The words `q`, and where to search.

    In one `conversation`, below a position; or in all conversations, after the last one that the
    previous request searched. With `last`, the full-text index is not used.
    """

    q = forms.CharField(max_length=MAX_QUERY_CHARACTERS, required=False)
    conversation = forms.UUIDField(required=False)
    below = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    after = forms.UUIDField(required=False)
    last = forms.BooleanField(required=False)


@database_view(READ)
def search(request: HttpRequest, database: Database) -> HttpResponse:
    query = validated_data(SearchForm(request.GET))
    words, key = query_words(query["q"]), query["conversation"]
    conversation = conversation_or_404(database, key) if key else None
    result = indexed = None
    if words and conversation:
        below = query["below"] or (conversation.length or 0) + 1
        result = search_conversation(database.alias, conversation, words, below)
    elif words:
        if not (query["last"] or query["after"]):
            indexed = search_word_index(database.alias, words)
        result = indexed or _search_last_messages(database, words, query)
    # A page without hits loads the next one by itself, which is part of the same search. Only the
    # first page and pages with hits are logged.
    if result and (result.hits or not (query["below"] or query["after"])):
        opened = {(hit.key, hit.memory_id) for hit in result.hits}
        searched = {(key, conversation.memory_id)} if conversation else {(None, "")}
        record(request.user, database, Action.SEARCH, opened or searched, query["q"])
    context = {
        "title": "Search messages",
        "database": database,
        "conversation": conversation,
        "q": query["q"],
        "words": words,
        "result": result,
        "by_index": indexed is not None,
        "next_url": _next_url(database, query, result),
        "last_messages_url": page_url(database, "search", q=query["q"], last=1),
        "max_query_characters": MAX_QUERY_CHARACTERS,
        "last_messages": LAST_MESSAGES,
    }
    return render_page(request, "search", context)


def _search_last_messages(
    database: Database, words: list[str], query: Mapping[str, Any]
) -> SearchResult:
    after = conversation_or_404(database, query["after"]) if query["after"] else None
    return search_last_messages(database.alias, words, after)


def _next_url(
    database: Database, query: Mapping[str, Any], result: SearchResult | None
) -> str | None:
    """The URL that continues the search; None if nothing is left to search."""
    if not result or not (result.below or result.after):
        return None
    after = result.after.pk if result.after else None
    same = {"q": query["q"], "conversation": query["conversation"]}
    return page_url(database, "search", **same, below=result.below, after=after)
