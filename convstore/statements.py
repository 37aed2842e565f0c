"""How one vendor adds messages and reads the window, behind one seam: `Statements`.

Every variant makes the same four steps in one READ COMMITTED transaction: take the
conversation's row as the lock (creating it if it is new), add each message at the
highest position + 1 unless its request_key is there, then, in a statement that starts
after the lock was taken, read the window that ends in the request's last message. A
single statement cannot do it: its snapshot is older than the lock, and windows get holes.

Variants know no retries; a transaction that failed is run again, whole, by the store.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from convstore.fairness import FairLock
from convstore.models import Conversation, Message

PINNED_ROLES = ("system", "developer")
# How coarse Conversation.active_at is.
ACTIVE_STEP = timedelta(hours=1)


class Stored(NamedTuple):
    """A message as it stands in the store; `body` is its JSON."""

    position: int
    role: str
    body: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A row of Message that has no position yet."""

    role: str
    body: str
    request_key: UUID
    fingerprint: UUID


@dataclass(frozen=True, slots=True)
class Address:
    """Which conversation, and when it is spoken to."""

    key: UUID
    memory_id: str
    now: datetime


class Statements(Protocol):
    """The seam. `rows` come newest first or in any order, the first message perhaps extra:
    `pinned_window` makes the window of them."""

    def exchange(self, to: Address, new: Sequence[NewMessage], size: int) -> list[Stored]:
        """Add `new` (at least one), all or none; the rows of the window that ends in them.

        None come back, and nothing was added, when the key is another memory_id's.
        """

    def window(self, to: Address, size: int) -> list[Stored]:
        """The rows of the newest window; none when the conversation is unknown."""


def pinned_window(rows: Sequence[Stored], size: int) -> list[Stored]:
    """The window, oldest first: the last `size` messages, or, when the conversation begins
    with a system or developer message that is older, that one and the last `size` - 1."""
    window = sorted(rows, key=lambda row: row.position)
    if len(window) <= size:
        return window
    first = window[0]
    pinned = size >= 2 and first.position == 1 and first.role in PINNED_ROLES
    return [first, *window[-(size - 1) :]] if pinned else window[-size:]


def statements_for(using: str) -> Statements:
    """The fastest variant that the connection `using` can run."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        return SqliteInProcess(using)
    # Server-side binding takes one statement at a time; the batch needs several.
    features: Any = connection.features
    if connection.vendor == "postgresql" and not features.uses_server_side_binding:
        return PostgresBatch(using)
    return PortableOrm(using)


# --- SQL that PostgreSQL and SQLite share ------------------------------------------------

# Lock or create. The row of an existing conversation is locked whether or not the WHERE
# lets the update happen, so all but one append an hour leave it unwritten.
LOCK = """
INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at
WHERE convstore_conversation.active_at < %(stale)s"""

# The guard on memory_id: a row that another id hashed to takes no message.
ADD = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT %(key)s,
  COALESCE((SELECT MAX(position) FROM convstore_message WHERE conversation_id = %(key)s), 0) + 1,
  %(role_{n})s, %(body_{n})s, %(request_key_{n})s, %(fingerprint_{n})s, %(now)s
WHERE (SELECT memory_id FROM convstore_conversation WHERE id = %(key)s) = %(memory_id)s
ON CONFLICT (conversation_id, request_key) DO NOTHING"""

# Two ranges of the primary key: `position > n OR position = 1` would scan the whole
# conversation on SQLite. The bound is the request's own last message, or the newest one.
WINDOW = """
SELECT * FROM (
  SELECT position, role, body FROM convstore_message
  WHERE conversation_id = %(key)s AND position <= ({bound})
    AND (SELECT memory_id FROM convstore_conversation WHERE id = %(key)s) = %(memory_id)s
  ORDER BY position DESC LIMIT %(size)s) AS newest
UNION ALL
SELECT * FROM (
  SELECT position, role, body FROM convstore_message
  WHERE conversation_id = %(key)s AND position = 1 AND role IN ('system', 'developer')
    AND ({bound}) > %(size)s
    AND (SELECT memory_id FROM convstore_conversation WHERE id = %(key)s) = %(memory_id)s
) AS pinned"""
NEWEST = "SELECT MAX(position) FROM convstore_message WHERE conversation_id = %(key)s"
OWN = """SELECT position FROM convstore_message
  WHERE conversation_id = %(key)s AND request_key = %(own)s"""
READ = WINDOW.format(bound=NEWEST)
READ_OWN = WINDOW.format(bound=OWN)


@dataclass(frozen=True, slots=True)
class SharedSql:
    """The statements above, run one at a time; the reads of PostgreSQL and SQLite."""

    using: str

    def window(self, to: Address, size: int) -> list[Stored]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(READ, self.parameters(to, (), size))
            return [Stored(*row) for row in cursor.fetchall()]

    def parameters(self, to: Address, new: Sequence[NewMessage], size: int) -> dict[str, Any]:
        connection = connections[self.using]
        values: dict[str, Any] = {
            "key": _uuid(to.key, connection),
            "memory_id": to.memory_id,
            "now": connection.ops.adapt_datetimefield_value(to.now),
            "stale": connection.ops.adapt_datetimefield_value(to.now - ACTIVE_STEP),
            "size": size,
        }
        for n, message in enumerate(new):
            values[f"role_{n}"] = message.role
            values[f"body_{n}"] = message.body
            values[f"request_key_{n}"] = _uuid(message.request_key, connection)
            values[f"fingerprint_{n}"] = _uuid(message.fingerprint, connection)
        if new:
            values["own"] = values[f"request_key_{len(new) - 1}"]
        return values


def _uuid(value: UUID, connection: BaseDatabaseWrapper) -> UUID | str:
    return value if connection.features.has_native_uuid_field else value.hex


@dataclass(frozen=True, slots=True)
class PostgresBatch(SharedSql):
    """One round trip: several statements in one message, outside any transaction block.

    PostgreSQL runs them as one implicit transaction in which each has its own snapshot,
    and the lock lives only while the server works on it: no client can stall another.
    """

    def exchange(self, to: Address, new: Sequence[NewMessage], size: int) -> list[Stored]:
        connection = connections[self.using]
        if connection.in_atomic_block:
            raise RuntimeError("an exchange inside atomic() would answer before its COMMIT")
        batch = [
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL lock_timeout = '{settings.DATABASE_TIMEOUT}s'",
            LOCK,
            *(ADD.format(n=n) for n in range(len(new))),
            READ_OWN,
        ]
        with connection.cursor() as cursor:
            cursor.execute(";".join(batch), self.parameters(to, new, size))
            while cursor.nextset():
                pass
            return [Stored(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class SqliteInProcess(SharedSql):
    """One IMMEDIATE transaction, with a fair queue of this process's threads in front."""

    def exchange(self, to: Address, new: Sequence[NewMessage], size: int) -> list[Stored]:
        connection = connections[self.using]
        values = self.parameters(to, new, size)
        with (
            _queue(connection),
            transaction.atomic(self.using, durable=True),
            connection.cursor() as cursor,
        ):
            cursor.execute(LOCK, values)
            for n in range(len(new)):
                cursor.execute(ADD.format(n=n), values)
            cursor.execute(READ_OWN, values)
            return [Stored(*row) for row in cursor.fetchall()]


# One queue per database file of this process.
_queues: defaultdict[str, FairLock] = defaultdict(FairLock)
_queues_guard = threading.Lock()


def _queue(connection: BaseDatabaseWrapper) -> Any:
    with _queues_guard:
        queue = _queues[str(connection.settings_dict["NAME"])]
    return queue.held(timeout=connection.settings_dict["OPTIONS"].get("timeout", 5))


# --- The portable path -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PortableOrm:
    """The same steps through the ORM, for every database that Django speaks.

    Uses no RETURNING, no ignore_conflicts, no upsert and no slice under FOR UPDATE, since
    SQL Server or Oracle lack each of them.
    """

    using: str

    def exchange(self, to: Address, new: Sequence[NewMessage], size: int) -> list[Stored]:
        while True:
            with transaction.atomic(self.using, durable=True):
                holder = self._lock(to)
                if holder == to.memory_id:
                    own = self._position_of(to, new[-1].request_key)
                    last = own or self._add(to, new)
                    return self._window(to, size, last)
            if holder is not None:
                return []
            self._create(to)

    def window(self, to: Address, size: int) -> list[Stored]:
        return self._window(to, size, None)

    def _lock(self, to: Address) -> str | None:
        """Lock the conversation's row; the memory_id that it is of, or None for no row."""
        rows = Conversation.objects.using(self.using).filter(pk=to.key)
        for memory_id, active_at in rows.select_for_update().values_list("memory_id", "active_at"):
            if active_at < to.now - ACTIVE_STEP:
                rows.update(active_at=to.now)
            return memory_id
        return None

    def _create(self, to: Address) -> None:
        # In a transaction of its own: two first messages at once both come here, one of
        # the two INSERTs fails, and both go on to lock the row that is there now.
        try:
            with transaction.atomic(self.using, durable=True):
                Conversation.objects.using(self.using).create(
                    id=to.key, memory_id=to.memory_id, created_at=to.now, active_at=to.now
                )
        except IntegrityError:
            pass

    def _messages(self, to: Address) -> QuerySet[Message]:
        return Message.objects.using(self.using).filter(conversation_id=to.key)

    def _position_of(self, to: Address, request_key: UUID) -> int | None:
        rows = self._messages(to).filter(request_key=request_key)
        return next(iter(rows.values_list("position", flat=True)), None)

    def _add(self, to: Address, new: Sequence[NewMessage]) -> int:
        newest = self._messages(to).order_by("-position").values_list("position", flat=True)
        last: int = next(iter(newest[:1]), 0)
        Message.objects.using(self.using).bulk_create(
            Message(
                conversation_id=to.key,
                position=position,
                role=message.role,
                body=message.body,
                request_key=message.request_key,
                fingerprint=message.fingerprint,
                created_at=to.now,
            )
            for position, message in enumerate(new, last + 1)
        )
        return last + len(new)

    def _window(self, to: Address, size: int, last: int | None) -> list[Stored]:
        rows = self._messages(to)
        if last is not None:
            rows = rows.filter(position__lte=last)
        newest = rows.order_by("-position").values_list("position", "role", "body")
        found = list(newest.values_list(*Stored._fields, "conversation__memory_id")[:size])
        # Compared here, where no collation has a say in it.
        window = [Stored(*row[:3]) for row in found if row[3] == to.memory_id]
        if size >= 2 and len(window) == size and window[-1].position > 1:
            first = newest.filter(position=1, role__in=PINNED_ROLES)
            window += [Stored(*row) for row in first]
        return window
