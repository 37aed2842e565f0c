"""The messages of one conversation, in pieces.

Each query costs the same, however long the conversation is, and reads a bounded number of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Length

from convstore.models import Message

# How the archive's callers name the type; convstore.messages.Message is the value.
MessageRow = Message

# The most messages in a piece, and the most bytes. A piece always has at least one message.
PIECE, PIECE_BYTES = 50, 8 * 1024 * 1024
# How many positions one query reads while `position_at` narrows down a time.
PROBES = 64


class Octets(Length):
    """The length of a text; in bytes where the database knows that without reading the text."""

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, function="OCTET_LENGTH", **context)


@dataclass(frozen=True, slots=True)
class History:
    """The messages of the conversation `key` in the database `using`."""

    using: str
    key: UUID

    def rows(self) -> QuerySet[MessageRow]:
        return MessageRow.objects.using(self.using).filter(conversation_id=self.key)

    def length(self) -> int:
        """The highest position; 0 if there are no messages."""
        newest = self.rows().order_by("-position").values_list("position", flat=True)
        return next(iter(newest[:1]), 0)

    def message(self, position: int) -> MessageRow | None:
        return next(iter(self._messages(position, position)), None)

    def piece_from(self, start: int, limit: int = PIECE) -> list[MessageRow]:
        """The piece that begins at `start` or, if that message was deleted, at the next one."""
        rows = self.rows().filter(position__gte=start).order_by("position")
        return self._piece(_sizes(rows, limit))

    def piece_up_to(self, last: int, limit: int = PIECE) -> list[MessageRow]:
        """The piece that ends at `last` or, if the conversation is shorter, at its last message."""
        rows = self.rows().filter(position__lte=last).order_by("-position")
        return self._piece(_sizes(rows, limit))

    def pieces(self, last: int, limit: int) -> Iterator[list[MessageRow]]:
        """All messages up to the position `last`, oldest first, at most `limit` in a piece."""
        start = 1
        while start <= last and (piece := self.piece_from(start, limit)):
            yield [row for row in piece if row.position <= last]
            start = piece[-1].position + 1

    def position_at(self, moment: datetime, length: int) -> int:
        """The first position whose message came at `moment` or later; `length` + 1 if none did.

        Times grow with positions, except for the moment that a writer waits for the row lock.
        """
        first, end = 1, length + 1
        while first < end:
            step = -(-(end - first) // PROBES)
            probes = range(first, end, step)
            rows = self.rows().filter(position__in=probes).values_list("position", "created_at")
            times = dict(rows)
            end = min((at for at, came in times.items() if came >= moment), default=end)
            # If all probes are missing, an interrupted deletion removed everything up to the last.
            known = [at for at in times if at < end] or [first - 1 if times else probes[-1]]
            first = max(known) + 1 if step > 1 else end
        return end

    def _piece(self, sizes: Sequence[tuple[int, int]]) -> list[MessageRow]:
        """As many messages, starting with the first of `sizes`, as PIECE_BYTES allows."""
        sums = accumulate(size for _, size in sizes)
        fitting = [n for n, total in enumerate(sums) if n == 0 or total <= PIECE_BYTES]
        if not fitting:
            return []
        ends = sizes[0][0], sizes[fitting[-1]][0]
        return self._messages(min(ends), max(ends))

    def _messages(self, first: int, last: int) -> list[MessageRow]:
        rows = self.rows().filter(position__range=(first, last)).order_by("position")
        return list(rows.only("position", "role", "body", "created_at"))


def _sizes(rows: QuerySet[MessageRow], limit: int) -> list[tuple[int, int]]:
    return list(rows.annotate(octets=Octets("body")).values_list("position", "octets")[:limit])
