"""What people read: conversations with their figures, and their messages in pieces.

Each query costs the same whatever the number of conversations or the length of one, and
holds a bounded number of bytes. Knows the rows; knows neither requests nor pages of HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import BigIntegerField, Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Length, Substr

from convstore.exchange.statements import PINNED_ROLES
from convstore.models import Conversation, Message

# The most messages of a piece, and the most bytes of them; one message is always in it.
PIECE, PIECE_BYTES = 50, 8 * 1024 * 1024
# How much of a message's JSON is read to show how a conversation opens.
OPENING = 600
# Positions that are looked at in one query when one is sought by its time.
PROBES = 64


class Entry(NamedTuple):
    """A message as it stands in the store; `body` is its JSON."""

    position: int
    role: str
    body: str
    created_at: datetime


class Octets(Length):
    """How long a text is: in bytes where the database knows that without reading it."""

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, function="OCTET_LENGTH", **context)


# --- Lists -------------------------------------------------------------------------------


def older_rows(rows: QuerySet[Any], field: str, at: datetime, pk: object) -> QuerySet[Any]:
    """Those that follow one with these values when `rows` are ordered by `field`, then pk, both
    descending. The first condition is what an index serves; the second is for equal times."""
    return rows.filter(**{f"{field}__lte": at}).filter(Q(**{f"{field}__lt": at}) | Q(pk__lt=pk))


def newer_rows(rows: QuerySet[Any], field: str, at: datetime, pk: object) -> QuerySet[Any]:
    """Those that come before one with these values, as in `before`."""
    return rows.filter(**{f"{field}__gte": at}).filter(Q(**{f"{field}__gt": at}) | Q(pk__gt=pk))


def with_length(conversations: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Each with its `length`: its highest position, one step down the primary key."""
    return conversations.annotate(length=_of_newest("position"))


def with_summary(conversations: QuerySet[Conversation], *, opening: bool) -> QuerySet[Conversation]:
    """Each with its `length`, its last message's `last_role` and `changed_at`, and `opening`:
    the beginning of the first message's JSON that is not pinned, if it is wished for."""
    figures = {"last_role": _of_newest("role"), "changed_at": _of_newest("created_at")}
    if opening:
        figures["opening"] = _opening()
    return with_length(conversations).annotate(**figures)


def _of_newest(column: str) -> Subquery:
    newest = Message.objects.filter(conversation_id=OuterRef("pk")).order_by("-position")
    return Subquery(newest.values(column)[:1])


def _opening() -> Subquery:
    # A pinned first message says what the assistant is, alike in many conversations.
    pinned = When(position=1, role__in=PINNED_ROLES, then=Value(3))
    first = Message.objects.filter(conversation_id=OuterRef("pk"), position__lte=2)
    spoken = first.order_by(Case(pinned, default=F("position"), output_field=BigIntegerField()))
    return Subquery(spoken.annotate(beginning=Substr("body", 1, OPENING)).values("beginning")[:1])


def with_prefix(rows: QuerySet[Conversation], prefix: str) -> QuerySet[Conversation]:
    """Those whose memory_id begins with `prefix`, in no order; an index serves it."""
    found = rows.order_by().filter(memory_id__startswith=prefix)
    if connections[rows.db].vendor == "sqlite":
        # Its LIKE takes a for A, and so uses no index; it compares by code points.
        return found.filter(memory_id__gte=prefix, memory_id__lt=f"{prefix}\U0010ffff")
    return found


# --- One conversation --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class History:
    """The messages of the conversation `key`, in the database `using`."""

    using: str
    key: UUID

    def length(self) -> int:
        """The highest position, which is the number of messages; 0 for none."""
        newest = self.rows().order_by("-position").values_list("position", flat=True)
        return next(iter(newest[:1]), 0)

    def entry(self, position: int) -> Entry | None:
        return next(iter(self._entries(position, position)), None)

    def from_position(self, start: int, most: int = PIECE) -> list[Entry]:
        """The piece that begins at `start` or, where that is gone, after it."""
        rows = self.rows().filter(position__gte=start).order_by("position")
        return self._piece(_sizes(rows, most))

    def up_to(self, last: int, most: int = PIECE) -> list[Entry]:
        """The piece that ends at `last` or, where the conversation is shorter, at its end."""
        rows = self.rows().filter(position__lte=last).order_by("-position")
        return self._piece(_sizes(rows, most))

    def pieces(self, last: int, most: int) -> Iterator[list[Entry]]:
        """All messages up to the position `last`, in their order, piece by piece."""
        start = 1
        while start <= last and (piece := self.from_position(start, most)):
            yield [entry for entry in piece if entry.position <= last]
            start = piece[-1].position + 1

    def position_at(self, moment: datetime, length: int) -> int:
        """The first position whose message came at `moment` or later; past the end for none.

        Times follow positions, but for the moments that two writers waited for each other.
        """
        first, end = 1, length + 1
        while first < end:
            step = -(-(end - first) // PROBES)
            probes = range(first, end, step)
            rows = self.rows().filter(position__in=probes).values_list("position", "created_at")
            times = dict(rows)
            end = min((at for at, came in times.items() if came >= moment), default=end)
            # Those before may have been deleted: then the last probe was as well.
            known = [at for at in times if at < end] or [first - 1 if times else probes[-1]]
            first = max(known) + 1 if step > 1 else end
        return end

    def rows(self) -> QuerySet[Message]:
        return Message.objects.using(self.using).filter(conversation_id=self.key)

    def _piece(self, sizes: Sequence[tuple[int, int]]) -> list[Entry]:
        """As many of the messages, from the first of `sizes` on, as a piece may hold."""
        sums = accumulate(size for _, size in sizes)
        fitting = [n for n, held in enumerate(sums) if n == 0 or held <= PIECE_BYTES]
        if not fitting:
            return []
        ends = sizes[0][0], sizes[fitting[-1]][0]
        return self._entries(min(ends), max(ends))

    def _entries(self, first: int, last: int) -> list[Entry]:
        rows = self.rows().filter(position__range=(first, last)).order_by("position")
        return [Entry(*row) for row in rows.values_list(*Entry._fields)]


def _sizes(rows: QuerySet[Message], most: int) -> list[tuple[int, int]]:
    return list(rows.annotate(octets=Octets("body")).values_list("position", "octets")[:most])
