"""Links from hit to hit: a transcript that was opened from a search knows the words and other hits.

They travel in the URL. That is safe, since they are only links: each page checks by itself who may
see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core import signing
from django.http import HttpRequest, QueryDict

from convstore.archive.history import MessageRow
from convstore.archive.hits import Hit
from convstore.archive.search import contains
from convstore.messages import Message
from convstore.words import fold_text, query_words, texts_of, texts_of_parts
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


@dataclass(frozen=True, slots=True)
class OpenedHit:
    """A hit whose message a transcript shows; `text` is all that the message says.

    `is_beside` says that its content does not have all the words.
    """

    position: int
    words: Sequence[str]
    text: str
    is_beside: bool


def opened_hit(request: HttpRequest, key: UUID, rows: Iterable[MessageRow]) -> OpenedHit | None:
    """The hit with which this page of a conversation was opened, if it is one of its rows."""
    if (opened := _page_of_hits(request)) is None:
        return None
    _, page, at = opened
    words = query_words(" ".join(dict(page["results"]).get("q", ())))
    place = tuple(page["hits"][at - 1])
    row = next((row for row in rows if (key.hex, row.position) == place), None)
    if row is None or not words:
        return None
    message = Message.from_json(row.body)
    content = fold_text("\n".join(texts_of_parts(message.parts)))
    text = "\n".join(texts_of(message))
    return OpenedHit(row.position, words, text, is_beside=not contains(content, words))


def _page_of_hits(request: HttpRequest) -> tuple[str, dict[str, Any], int] | None:
    """The token of a URL with the page of results that is in it, and which of its hits this is."""
    token, number = request.GET.get(HITS), request.GET.get(HIT, "")
    if not (token and number.isdecimal()):
        return None
    try:
        page = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    return (token, page, int(number)) if 1 <= int(number) <= len(page["hits"]) else None


def links_of(request: HttpRequest, database: Database | None) -> HitLinks | None:
    """The links for a page that was opened from a search; None for any other."""
    if database is None or (opened := _page_of_hits(request)) is None:
        return None
    token, page, at = opened
    count = len(page["hits"])
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
