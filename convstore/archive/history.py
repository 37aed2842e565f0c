"""The messages of one conversation, read in chunks.

The cost of a query does not grow with the conversation, and every query reads a limited number of
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any
from uuid import UUID

from django.db.models import Func, IntegerField, QuerySet

from convstore.database.vendors import vendor_for
from convstore.models import NOT_ERASED, Message
from convstore.standby import read_stale

# The model, under the name that callers of the archive use.
MessageRow = Message

# The most messages and the most bytes in a chunk. One message is always allowed, whatever its size.
CHUNK_MESSAGES, CHUNK_BYTES = 50, 8 * 1024 * 1024
# `position_at` is a binary search, except that one query compares this many positions.
PROBES = 64


class Octets(Func):
    """The length of a text: in bytes if the database knows it without reading the text."""

    output_field = IntegerField()

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        function = vendor_for(connection.alias).text_length
        return super().as_sql(compiler, connection, function, **context)


@dataclass(frozen=True, slots=True)
class History:
    """The messages of the conversation `key` in the database `using`.

    `standby` is a copy of it, from which `chunks` reads what is there.
    """

    using: str
    key: UUID
    standby: str | None = None

    def rows(self) -> QuerySet[MessageRow]:
        """All rows, those of erased messages among them."""
        return MessageRow.objects.using(self.using).filter(conversation_id=self.key)

    def messages(self) -> QuerySet[MessageRow]:
        return self.rows().filter(NOT_ERASED)

    def length(self) -> int:
        """The highest position, also of an erased message; 0 if there are no rows."""
        newest = self.rows().order_by("-position").values_list("position", flat=True)
        return next(iter(newest[:1]), 0)

    def message(self, position: int) -> MessageRow | None:
        return next(iter(self._rows_between(position, position)), None)

    def chunk_from(self, start: int, limit: int = CHUNK_MESSAGES) -> list[MessageRow]:
        """The chunk that begins at `start`, or at the next message if that one was deleted."""
        rows = self.messages().filter(position__gte=start).order_by("position")
        return self._bounded_chunk(_sizes(rows, limit))

    def chunk_up_to(self, last: int, limit: int = CHUNK_MESSAGES) -> list[MessageRow]:
        """The chunk that ends at `last`, or at the message before if there is none at `last`."""
        rows = self.messages().filter(position__lte=last).order_by("-position")
        return self._bounded_chunk(_sizes(rows, limit))

    def chunks(self, last: int, limit: int) -> Iterator[list[MessageRow]]:
        """All messages up to the position `last`, oldest first, at most `limit` in a chunk."""
        start = 1
        while start <= last and (chunk := self._chunk_on_standby(start, last, limit)):
            yield [row for row in chunk if row.position <= last]
            start = chunk[-1].position + 1

    def _chunk_on_standby(self, start: int, last: int, limit: int) -> list[MessageRow]:
        """`chunk_from`, read from the standby if that has all messages up to `last`."""

        def read(using: str) -> list[MessageRow]:
            source = replace(self, using=using)
            is_behind = using == self.standby and source.length() < last
            return (self if is_behind else source).chunk_from(start, limit)

        return read_stale(self.standby, self.using, read)

    def position_at(self, moment: datetime, length: int) -> int:
        """The first position whose message was added at `moment` or later, else `length` + 1.

        Times increase with positions. Only writers that wait for the row lock at the same time may
        be out of order.
        """
        first, end = 1, length + 1
        while first < end:
            step = -(-(end - first) // PROBES)
            probes = range(first, end, step)
            rows = self.rows().filter(position__in=probes).values_list("position", "created_at")
            times = dict(rows)
            end = min((at for at, added in times.items() if added >= moment), default=end)
            # If no probe exists, an interrupted deletion has removed all up to the last one.
            known = [at for at in times if at < end] or [first - 1 if times else probes[-1]]
            first = max(known) + 1 if step > 1 else end
        return end

    def _bounded_chunk(self, sizes: Sequence[tuple[int, int]]) -> list[MessageRow]:
        """The first messages of `sizes`, as many as CHUNK_BYTES allows."""
        sums = accumulate(size for _, size in sizes)
        fitting = [n for n, total in enumerate(sums) if n == 0 or total <= CHUNK_BYTES]
        if not fitting:
            return []
        ends = sizes[0][0], sizes[fitting[-1]][0]
        return self._rows_between(min(ends), max(ends))

    def _rows_between(self, first: int, last: int) -> list[MessageRow]:
        rows = self.messages().filter(position__range=(first, last)).order_by("position")
        return list(rows.only("position", "role", "body", "created_at"))


def _sizes(rows: QuerySet[MessageRow], limit: int) -> list[tuple[int, int]]:
    return list(rows.annotate(octets=Octets("body")).values_list("position", "octets")[:limit])
