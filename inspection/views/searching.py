"""Search for words in messages, step by step. The page says how much was searched so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self
from uuid import UUID

from django import forms
from django.core import signing
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, QueryDict

from convstore.archive.hits import HitGroup, SearchResult
from convstore.archive.index_search import search_word_index
from convstore.archive.search import (
    EVERYTHING,
    LAST_MESSAGES,
    MAX_QUERY_CHARACTERS,
    Filters,
    search_conversation,
    search_last_messages,
)
from convstore.database.vendors import vendor_for
from convstore.standby import read_stale
from convstore.words import query_words
from inspection.audit import Action, record_list
from inspection.databases import Database, databases
from inspection.transcript import ROLES
from inspection.views.access import READ, database_view
from inspection.views.hits import hit_urls
from inspection.views.pages import conversation_or_404, page_url, render_page, validated_data

SALT = "convstore.search"
# A search that was left for so long has to be begun again.
STEP_LASTS = timedelta(hours=1)


class SearchForm(forms.Form):
    """The words `q`, where to search, and which messages.

    With `last`, the index of words is not used. `step` is where a search goes on, and `stop` shows
    how far it came.
    """

    q = forms.CharField(max_length=MAX_QUERY_CHARACTERS, required=False)
    conversation = forms.UUIDField(required=False)
    role = forms.ChoiceField(choices=[(role, role) for role in ("", *ROLES)], required=False)
    first_day = forms.DateField(required=False)
    last_day = forms.DateField(required=False)
    last = forms.BooleanField(required=False)
    step = forms.CharField(required=False)
    stop = forms.BooleanField(required=False)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a search goes on, and what it has read and found in so many `steps` before."""

    steps: int = 0
    conversations: int = 0
    messages: int = 0
    found: int = 0
    below: int | None = None
    after: tuple[str, str] | None = None
    skip: int = 0

    def next_step(self, result: SearchResult, conversation: object) -> Self:
        """The step after this one, or how the search ended."""
        # A conversation is the same in every step, and the index reads the same rows again.
        again = bool(conversation) or result.skip is not None or self.skip
        return replace(
            self,
            steps=self.steps + 1,
            conversations=result.conversations + (0 if again else self.conversations),
            messages=result.messages + (self.messages if not self.skip else 0),
            found=self.found + result.found,
            below=result.below,
            after=(result.after[0].isoformat(), str(result.after[1])) if result.after else None,
            skip=result.skip or 0,
        )


@database_view(READ)
def search(request: HttpRequest, database: Database) -> HttpResponse:
    query = validated_data(SearchForm(request.GET))
    words, key = query_words(query["q"]), query["conversation"]
    conversation = conversation_or_404(database, key) if key else None
    same = [request.user.pk, database.alias, *(str(query[name]) for name in _SAME)]
    step = _step_of(query["step"], same)
    result, by_index = None, False
    if words and not query["stop"]:
        given = conversation, words, query, step or Step()
        result, by_index = read_stale(
            database.standby, database.alias, lambda using: _search(using, *given)
        )
    so_far = (step or Step()).next_step(result, conversation) if result else step
    if words and so_far and _is_logged(result, so_far):
        opened = [(group.key, group.memory_id) for group in result.groups] if result else []
        searched = [(key, conversation.memory_id)] if conversation else []
        detail = _detail(query, so_far)
        record_list(request, database, Action.SEARCH, opened or searched, detail)
    goes_on = bool(result and result.goes_on) or (query["stop"] and step is not None)
    signed_step = _sign_step(so_far, same) if so_far and goes_on else None
    url = page_url(database, "search", **_kept_parameters(request.GET))
    context = {
        "title": "Search messages",
        "database": database,
        "databases": [] if conversation else _choices(database),
        "conversation": conversation,
        "query": query,
        "q": query["q"],
        "roles": ROLES,
        "words": words,
        "result": result,
        "groups": _shown_groups(database, result.groups, request.GET, query) if result else [],
        "so_far": so_far,
        "by_index": by_index,
        "is_filtered": _filters(query) != EVERYTHING,
        "may_have_index": not query["last"] and bool(vendor_for(database.alias).word_index),
        "stopped": query["stop"],
        "next_url": f"{url}&step={signed_step}" if signed_step else None,
        "stop_url": f"{url}&step={signed_step}&stop=1" if signed_step else None,
        "last_messages_url": page_url(
            database, "search", **_kept_parameters(request.GET) | {"last": "1"}
        ),
        "max_query_characters": MAX_QUERY_CHARACTERS,
        "last_messages": LAST_MESSAGES,
    }
    return render_page(request, "search", context)


def _is_logged(result: SearchResult | None, so_far: Step) -> bool:
    """Whether this step has an entry: if it shows hits or is the last one, or has no result.

    Of the other steps the first, second, fourth, eighth and so on have one, since a long search
    would drown the log. A step's place is signed, so nobody can look for words without the first.
    """
    if result is None or result.hits or not result.goes_on:
        return True
    return so_far.steps.bit_count() == 1


def _detail(query: Mapping[str, Any], so_far: Step) -> str:
    """The words, and how far the search came if it went on."""
    if so_far.steps == 1 and not query["stop"]:
        return str(query["q"])
    stopped = ", then stopped" if query["stop"] else ""
    return f"{query['q']}; {so_far.messages:,} messages searched{stopped}"


def _search(
    using: str,
    conversation: Any,
    words: list[str],
    query: Mapping[str, Any],
    step: Step,
) -> tuple[SearchResult, bool]:
    """The result of one step, and whether the index was used."""
    filters = _filters(query)
    if conversation:
        below = step.below or (conversation.length or 0) + 1
        return search_conversation(using, conversation, words, below, filters), False
    if not (query["last"] or step.after):
        result = search_word_index(using, words, filters, step.skip)
        if result:
            return result, True
    after = (datetime.fromisoformat(step.after[0]), UUID(step.after[1])) if step.after else None
    return search_last_messages(using, words, after, filters), False


def _filters(query: Mapping[str, Any]) -> Filters:
    last_day = _midnight(query["last_day"], timedelta(days=1))
    return Filters(query["role"], _midnight(query["first_day"]), last_day)


def _midnight(day: date | None, later: timedelta = timedelta()) -> datetime | None:
    """The beginning of a day (UTC), or a time after it; None if there is no such time."""
    if day is None or day == date.max:
        return None
    return datetime.combine(day, time.min, UTC) + later


# --- Steps -------------------------------------------------------------------------------

# What may not change from step to step.
_SAME = ("q", "conversation", "role", "first_day", "last_day", "last")


def _sign_step(step: Step, same: list[Any]) -> str:
    return signing.dumps([same, asdict(step)], salt=SALT, compress=True)


def _step_of(token: str, same: list[Any]) -> Step | None:
    """The step in a URL; None at the beginning of a search. Raises BadRequest."""
    if not token:
        return None
    try:
        signed, step = signing.loads(token, salt=SALT, max_age=STEP_LASTS)
    except signing.BadSignature:
        signed = None
    if signed != same:
        raise BadRequest("This step of the search is too old or of another search: search again.")
    return Step(**step)


def _kept_parameters(given: QueryDict) -> dict[str, str]:
    """The parameters of a search that all its steps have."""
    return {name: value for name in _SAME if (value := given.get(name))}


# --- What the page shows -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group, its hits each with a number on the page and a URL, and where to find the others."""

    group: HitGroup
    hits: list[tuple[int, str, Any]]
    all_url: str


def _shown_groups(
    database: Database, groups: Iterable[HitGroup], given: QueryDict, query: Mapping[str, Any]
) -> list[ShownGroup]:
    groups = list(groups)
    urls = hit_urls(database, [hit for group in groups for hit in group.hits], given)
    numbered = iter(enumerate(urls, 1))
    kept = {name: value for name, value in _kept_parameters(given).items() if name != "last"}
    return [
        ShownGroup(
            group,
            [(*next(numbered), hit) for hit in group.hits],
            page_url(database, "search", **kept | {"conversation": group.key}),
        )
        for group in groups
    ]


def _choices(selected: Database) -> list[tuple[str, str, bool]]:
    """The databases with their memories, if there are several: alias, title, is it selected."""
    found = databases()
    if len(found) == 1:
        return []
    return [
        (each.alias, f"{', '.join(each.memories) or 'no memory'} ({each.name})", each == selected)
        for each in found
    ]
