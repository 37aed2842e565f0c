"""Words in what was said, with how far it was looked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from convstore.archive.search import (
    SearchResult,
    query_words,
    search_conversation,
    search_last_messages,
    search_word_index,
)
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.views.guard import READ, address, conversation_of, inspects, page, valid


class Query(forms.Form):
    """What is looked for; in one conversation below a position, or after a conversation."""

    q = forms.CharField(max_length=200, required=False)
    conversation = forms.UUIDField(required=False)
    below = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    after = forms.UUIDField(required=False)
    last = forms.BooleanField(required=False)


@inspects(READ)
def search(request: HttpRequest, database: Database) -> HttpResponse:
    query = valid(Query(request.GET))
    words = query_words(query["q"])
    key = query["conversation"]
    conversation = conversation_of(database, key) if key else None
    found = by_words = None
    if words and conversation:
        found = search_conversation(
            database.alias, conversation, words, query["below"] or (conversation.length or 0) + 1
        )
    elif words:
        looks_in_last = query["last"] or query["after"]
        found = by_words = None if looks_in_last else search_word_index(database.alias, words)
        after = conversation_of(database, query["after"]) if query["after"] else None
        found = found or search_last_messages(database.alias, words, after)
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
        "in_last": address(database, "search", q=query["q"], last=1),
    }
    return page(request, "search", context)


def _further(database: Database, query: dict[str, Any], found: SearchResult | None) -> str | None:
    """The address at which the search goes on, if something is left."""
    if not found or not (found.below or found.after):
        return None
    after = found.after.pk if found.after else None
    here = {"q": query["q"], "conversation": query["conversation"]}
    return address(database, "search", **here, below=found.below, after=after)
