"""The steps of a copy of a conversation, one transaction each, under the lock of the copy's row."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import F

from convstore.archive.changes import columns_of
from convstore.archive.conversations import ConversationRow, conversations, is_as_seen
from convstore.archive.erasure import BATCH
from convstore.archive.history import CHUNK_BYTES, History, MessageRow
from convstore.archive.repeats import nothing_of
from convstore.archive.word_switch import fill_between
from convstore.errors import Changed
from convstore.exchange import item_ids
from convstore.exchange.creation import write_transaction
from convstore.exchange.metadata import add_pairs, metadata_json
from convstore.exchange.sizes import SIZE
from convstore.messages import Message, dumps
from convstore.models import Kind

# The names of metadata that a fork has: the conversation, and the position, that it leads back to.
FORKED_FROM, FORKED_AT = "forked_from", "forked_at"
COPIED = (
    "position",
    "role",
    "body",
    "request_key",
    "fingerprint",
    "created_at",
    "size",
    "tokens",
    "kind",
    "words",
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is copied: the messages of a conversation up to the position `last`; 0 for none.

    `row` was read before `last` was chosen. Of the message there, only the first `items` are
    copied, which is `rest` of its body; None for all of them.
    """

    row: ConversationRow
    last: int
    items: int | None = None
    rest: Callable[[str], Message | None] = nothing_of

    @property
    def whole(self) -> int:
        """The position of the last message that is copied as it is."""
        return self.last if self.items is None else self.last - 1

    @property
    def digest(self) -> UUID:
        """What two requests have in common that copy the same."""
        state = [self.row.created_at.isoformat(), self.row.changes, self.last, self.items]
        return uuid.uuid5(self.row.id, dumps(state))


@dataclass(frozen=True, slots=True)
class Fork:
    """The conversation that is to begin. `pairs` are its metadata, beside those of each fork.

    `forked_from` is the source's id, as clients know it. `mark` stands for the request: what it
    says and its key. `is_known` tells whether a second request would ask for the same id.
    """

    using: str
    key: UUID
    memory_id: str
    forked_from: str
    pairs: Mapping[str, str]
    mark: UUID
    is_known: bool


def mark_of_fork(
    request_key: UUID | None, source: str, up_to: str | int | None, pairs: Mapping[str, str]
) -> UUID:
    """What stands for a request: the same for the same key, source, end and metadata."""
    said = dumps(["fork", source, up_to, sorted(pairs.items())])
    return uuid.uuid5(request_key or uuid.uuid4(), said)


class Copied(NamedTuple):
    """How many messages one call copied, and their bytes."""

    messages: int = 0
    size: int = 0


class Lost(Exception):
    """The copy is whole, or somebody has ended it."""


def _lock(new: Fork, hidden: str) -> None:
    """Hold the lock of the copy from now on. Raises Lost."""
    for row in conversations(new.using).filter(pk=new.key).select_for_update():
        if row.memory_id == hidden:
            return
    raise Lost


def copy_messages(source: Source, new: Fork, hidden: str) -> Copied | None:
    """Copy the next rows; None if there are no more."""
    using = new.using
    with write_transaction(using):
        _lock(new, hidden)
        last = History(using, new.key).length()
        if last >= source.whole:
            return None
        some = _next_rows(source, using, last)
        # All but the oldest positions have a row, unless the conversation is being deleted.
        if not some or last not in (0, some[0].position - 1):
            raise _change_error()
        end = some[-1].position
        if _insert(source, new, last, end) != len(some):
            raise _change_error()
        erased = sum(row.kind == Kind.ERASED for row in some)
        if erased:
            conversations(using).filter(pk=new.key).update(erased=F("erased") + erased)
        fill_between(using, new.key, some[0].position, end)
    return Copied(len(some), sum(row.size for row in some))


class _Row(NamedTuple):
    position: int
    size: int
    kind: int


def _next_rows(source: Source, using: str, after: int) -> list[_Row]:
    """The rows behind `after`, as many as one transaction may copy; at least one."""
    rows = History(using, source.row.id).rows()
    rows = rows.filter(position__gt=after, position__lte=source.whole).order_by("position")
    measured = rows.annotate(bytes=SIZE).values_list("position", "bytes", "kind")[:BATCH]
    found = [_Row(*row) for row in measured]
    sums = accumulate(row.size for row in found)
    count = sum(n == 0 or total <= CHUNK_BYTES for n, total in enumerate(sums))
    return found[:count]


def _insert(source: Source, new: Fork, after: int, last: int) -> int:
    """Copy the rows behind one position up to another; how many those were."""
    connection: Any = connections[new.using]
    quoted = connection.ops.quote_name
    table, key = quoted(MessageRow._meta.db_table), quoted("conversation_id")
    columns, position = ", ".join(map(quoted, COPIED)), quoted("position")
    prepared = ConversationRow._meta.pk.get_db_prep_value
    keys = [prepared(each, connection) for each in (new.key, source.row.id)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({key}, {columns}) SELECT %s, {columns} FROM {table}"  # noqa: S608
            f" WHERE {key} = %s AND {position} > %s AND {position} <= %s",
            [*keys, after, last],
        )
        count: int = cursor.rowcount
    return count


def copy_ids(source: Source, new: Fork, hidden: str, after: UUID | None) -> UUID | None:
    with write_transaction(new.using):
        _lock(new, hidden)
        end = source.last, source.items
        return item_ids.copy_ids(new.using, (source.row.id, new.key), end, after, BATCH)


def show(source: Source, new: Fork, hidden: str) -> None:
    """Let everybody find the copy, if its source is still as it was seen. Raises Changed."""
    now = datetime.now(UTC)
    pairs = {**new.pairs, FORKED_FROM: new.forked_from, FORKED_AT: str(source.last)}
    with write_transaction(new.using):
        _lock(new, hidden)
        if source.items is not None:
            _copy_beginning(source, new)
        if not is_as_seen(new.using, source.row):  # after all of it was read
            raise _change_error()
        conversations(new.using).filter(pk=new.key).update(
            memory_id=new.memory_id, created_at=now, active_at=now, metadata=metadata_json(pairs)
        )
        add_pairs(new.using, new.memory_id, new.key, now, pairs)
        item_ids.add_mark(new.using, new.key, new.mark)


def _copy_beginning(source: Source, new: Fork) -> None:
    """The first items of the last message, in a row like its own."""
    for row in History(new.using, source.row.id).messages().filter(position=source.last):
        if message := source.rest(row.body):
            values = {name: getattr(row, name) for name in COPIED}
            values |= columns_of(new.using, message)
            MessageRow.objects.using(new.using).create(conversation_id=new.key, **values)


def _change_error() -> Changed:
    return Changed("the conversation has changed while it was copied; send the request again")
