"""Pages of conversations: in order of creation, of activity or of ids, or by a pair of metadata.

Each is a range of an index, so its cost does not grow with the number of conversations. One that
is being deleted is in none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from convstore.archive.conversations import (
    ConversationRow,
    conversations,
    find_by_memory_id,
    newer_rows,
    of_tenant,
    older_rows,
    place_by_id,
)
from convstore.exchange.metadata import pair_digest, read
from convstore.models import MetadataPair

# More than were asked for: some may be left out.
SPARE_ROWS = 10


class Place(NamedTuple):
    """Where a conversation is in a list: its time there, and its key."""

    at: datetime
    key: UUID


class Order(NamedTuple):
    """An order of a list: by which time, and whether the newest comes first."""

    field: str
    newest_first: bool


NEWEST, OLDEST = Order("created_at", True), Order("created_at", False)
LAST_ACTIVE = Order("active_at", True)


def list_conversations(
    using: str,
    order: Order,
    after: ConversationRow | None,
    limit: int,
    wanted: Callable[[ConversationRow], bool],
    id_prefix: str = "",
) -> list[ConversationRow]:
    """At most `limit` conversations that are wanted, behind `after`.

    With `id_prefix`, those of the tenant whose ids begin so.
    """

    def rows_behind(place: Place | None, count: int) -> list[ConversationRow]:
        rows = conversations(using)
        rows = of_tenant(rows, id_prefix) if id_prefix else rows
        sign, behind = ("-", older_rows) if order.newest_first else ("", newer_rows)
        if place is not None:
            rows = behind(rows, order.field, place.at, place.key)
        return list(rows.order_by(f"{sign}{order.field}", f"{sign}id")[:count])

    return list(islice(filter(wanted, _all(rows_behind, order.field, after, limit)), limit))


def list_with_pair(
    using: str,
    pair: tuple[str, str],
    after: ConversationRow | None,
    limit: int,
    wanted: Callable[[ConversationRow], bool],
    id_prefix: str = "",
) -> list[ConversationRow]:
    """At most `limit` conversations that are wanted and have the pair, the newest first.

    With `id_prefix`, those of the tenant whose ids begin so.
    """
    digest = pair_digest(*pair, id_prefix)

    def rows_behind(place: Place | None, count: int) -> list[ConversationRow]:
        pairs = MetadataPair.objects.using(using).filter(digest=digest)
        if place is not None:
            before = Q(created_at__lt=place.at) | Q(conversation__lt=place.key)
            pairs = pairs.filter(created_at__lte=place.at).filter(before)
        keys = list(
            pairs.order_by("-created_at", "-conversation").values_list("conversation", flat=True)[
                :count
            ]
        )
        rows = conversations(using).in_bulk(keys)
        return [rows[key] for key in keys if key in rows]

    def has_pair(row: ConversationRow) -> bool:
        return wanted(row) and read(row.metadata).get(pair[0]) == pair[1]

    return list(islice(filter(has_pair, _all(rows_behind, "created_at", after, limit)), limit))


def list_by_id(
    using: str,
    prefix: str,
    exact_key: UUID,
    after: ConversationRow | None,
    limit: int,
    wanted: Callable[[ConversationRow], bool],
) -> list[ConversationRow]:
    """At most `limit` conversations that are wanted and whose memory_id begins with `prefix`, in
    order of ids; `exact_key` as in `find_by_memory_id`."""

    def rows() -> Iterator[ConversationRow]:
        place = None if after is None else place_by_id(after, exact_key)
        while True:
            found, place = find_by_memory_id(
                conversations(using), prefix, exact_key, limit + SPARE_ROWS, place
            )
            yield from found
            if place is None:
                return

    return list(islice(filter(wanted, rows()), limit))


def _all(
    rows_behind: Callable[[Place | None, int], list[ConversationRow]],
    field: str,
    after: ConversationRow | None,
    limit: int,
) -> Iterator[ConversationRow]:
    """All rows behind `after`, read as they are needed."""
    count, last = limit + SPARE_ROWS, after
    while rows := rows_behind(Place(getattr(last, field), last.id) if last else None, count):
        yield from rows
        last = rows[-1]
