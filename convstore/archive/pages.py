"""Pages of a conversation's rows, forwards and back, and single rows by what names them.

A page is one range of the primary key, so its cost does not grow with the conversation. It takes
two statements, so `read_whole` reads it again if something was erased in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db.models import QuerySet

from convstore.archive.conversations import ConversationRow, is_as_seen
from convstore.archive.history import CHUNK_BYTES, History, MessageRow, Octets
from convstore.errors import Unavailable
from convstore.exchange.item_ids import digest_of, place_of

# How often a page is read again whose conversation changes meanwhile.
TRIES = 10
COLUMNS = ("position", "role", "body", "created_at", "request_key", "kind")
Result = TypeVar("Result")


class Page(NamedTuple):
    """Rows, and whether there are more behind them."""

    rows: Sequence[MessageRow]
    has_more: bool


def read_whole(
    using: str,
    run: Callable[[Callable[[], bool]], bool],
    read: Callable[[], tuple[ConversationRow | None, Result]],
) -> Result:
    """What `read` finds in a conversation, of which nothing was erased meanwhile.

    `read` also returns the conversation's row, which it reads first; None if there is no such
    conversation. `run` runs a query. Raises Unavailable if something is erased each time.
    """
    for _ in range(TRIES):
        seen, result = read()
        if seen is None or run(partial(is_as_seen, using, seen)):
            return result
    raise Unavailable("the conversation changes faster than it can be read; send the request again")


def rows_after(using: str, key: UUID, position: int, limit: int) -> Page:
    """At most `limit` rows behind `position` that are not erased, oldest first."""
    rows = History(using, key).messages().filter(position__gt=position)
    return _page(rows.order_by("position"), limit)


def rows_before(using: str, key: UUID, position: int, limit: int) -> Page:
    """At most `limit` rows before `position` that are not erased, newest first."""
    rows = History(using, key).messages().filter(position__lt=position)
    return _page(rows.order_by("-position"), limit)


def rows_between(using: str, key: UUID, first: int, last: int) -> list[MessageRow]:
    """All rows from one position to another, whatever their size, oldest first."""
    rows = History(using, key).messages().filter(position__range=(first, last))
    return list(rows.order_by("position").only(*COLUMNS))


def row_at(using: str, key: UUID, position: int) -> MessageRow | None:
    return _first(History(using, key).messages().filter(position=position))


def row_with_key(using: str, key: UUID, request_key: UUID) -> MessageRow | None:
    return _first(History(using, key).messages().filter(request_key=request_key))


def position_of_key(using: str, key: UUID, request_key: UUID) -> int | None:
    """The position of the row with this request_key, also if it was erased."""
    rows = History(using, key).rows().filter(request_key=request_key)
    return rows.values_list("position", flat=True).first()


def place_of_id(using: str, key: UUID, item_id: str) -> tuple[int, int] | None:
    """The position and the number in its row of the item to which a client gave this id."""
    return place_of(using, key, digest_of(item_id))


def _first(rows: QuerySet[MessageRow]) -> MessageRow | None:
    return next(iter(rows.only(*COLUMNS)), None)


def _page(rows: QuerySet[MessageRow], limit: int) -> Page:
    """The first rows, as many as CHUNK_BYTES allows; at least one."""
    sizes = list(
        rows.annotate(octets=Octets("body")).values_list("position", "octets")[: limit + 1]
    )
    sums = accumulate(octets for _, octets in sizes[:limit])
    count = sum(n == 0 or total <= CHUNK_BYTES for n, total in enumerate(sums))
    if not count:
        return Page([], has_more=False)
    ends = sizes[0][0], sizes[count - 1][0]
    between = rows.filter(position__range=(min(ends), max(ends)))
    return Page(list(between.only(*COLUMNS)), count < len(sizes))
