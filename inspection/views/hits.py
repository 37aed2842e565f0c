"""Links from hit to hit: a transcript that was opened from a search knows the other hits.

They travel in the URL. That is safe, since they are only links: each page checks by itself who may
see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core import signing
from django.http import HttpRequest, QueryDict

from convstore.archive.hits import Hit
from inspection.databases import Database
from inspection.views.pages import page_url

# The parameters of a transcript's URL: the hits of the page, and which of them this is.
HITS, HIT = "hits", "hit"
SALT = "convstore.hits"


@dataclass(frozen=True, slots=True)
class HitLinks:
    """`number` counts from 1; `previous` and `next` are "" at the ends of the page."""

    results: str
    number: int
    count: int
    previous: str
    next: str


def hit_urls(database: Database, hits: Sequence[Hit], results: QueryDict) -> list[str]:
    """The URL of each hit: its message in the transcript, with the way back to the results."""
    page = {
        "results": [(name, values) for name, values in results.lists() if name != "database"],
        "hits": [(hit.key.hex, hit.position) for hit in hits],
    }
    token = signing.dumps(page, salt=SALT, compress=True)
    return [_url(database, page, token, number) for number in range(1, len(hits) + 1)]


def links_of(request: HttpRequest, database: Database | None) -> HitLinks | None:
    """The links for a page that was opened from a search; None for any other."""
    token, number = request.GET.get(HITS), request.GET.get(HIT, "")
    if not (database and token and number.isdecimal()):
        return None
    try:
        page = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    count, at = len(page["hits"]), int(number)
    if not 1 <= at <= count:
        return None
    return HitLinks(
        page_url(database, "search", **dict(page["results"])) + f"#hit-{at}",
        at,
        count,
        _url(database, page, token, at - 1) if at > 1 else "",
        _url(database, page, token, at + 1) if at < count else "",
    )


def _url(database: Database, page: Mapping[str, Any], token: str, number: int) -> str:
    key, position = page["hits"][number - 1]
    place = {"position": position, HITS: token, HIT: number}
    return page_url(database, "change", UUID(key), **place) + f"#message-{position}"
