"""The operation in SQL that PostgreSQL and SQLite share, and how each of the two runs it.

Knows the seam and the tables; knows no retries.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.fairness import FairLock
from convstore.statements import ACTIVE_STEP, PINNED_ROLES, Address, NewMessage, Stored

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
  WHERE conversation_id = %(key)s AND position = 1 AND role IN {roles}
    AND ({bound}) > %(size)s
    AND (SELECT memory_id FROM convstore_conversation WHERE id = %(key)s) = %(memory_id)s
) AS pinned"""
NEWEST = "SELECT MAX(position) FROM convstore_message WHERE conversation_id = %(key)s"
OWN = """SELECT position FROM convstore_message
  WHERE conversation_id = %(key)s AND request_key = %(own)s"""
READ = WINDOW.format(bound=NEWEST, roles=PINNED_ROLES)
READ_OWN = WINDOW.format(bound=OWN, roles=PINNED_ROLES)


@dataclass(frozen=True, slots=True)
class SharedSql:
    """The reads of PostgreSQL and SQLite, and the parameters of all statements above."""

    using: str

    def window(self, to: Address, size: int) -> list[Stored]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(READ, self.where(to, size))
            return [Stored(*row) for row in cursor.fetchall()]

    def where(self, to: Address, size: int) -> dict[str, Any]:
        """The parameters that every statement has."""
        operations = connections[self.using].ops
        return {
            "key": self.uuid(to.key),
            "memory_id": to.memory_id,
            "now": operations.adapt_datetimefield_value(to.now),
            "stale": operations.adapt_datetimefield_value(to.now - ACTIVE_STEP),
            "size": size,
        }

    def row(self, message: NewMessage, n: int | str) -> dict[str, Any]:
        """The parameters of ADD for one message, their names ending in `n`."""
        return {
            f"role_{n}": message.role,
            f"body_{n}": message.body,
            f"request_key_{n}": self.uuid(message.request_key),
            f"fingerprint_{n}": self.uuid(message.fingerprint),
        }

    def own(self, new: Sequence[NewMessage]) -> dict[str, Any]:
        """The parameter of OWN: the key of the request's last message."""
        return {"own": self.uuid(new[-1].request_key)}

    def uuid(self, value: UUID) -> UUID | str:
        native = connections[self.using].features.has_native_uuid_field
        return value if native else value.hex


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
        values = self.where(to, size) | self.own(new)
        for n, message in enumerate(new):
            values |= self.row(message, n)
        batch = [
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL lock_timeout = '{settings.DATABASE_TIMEOUT}s'",
            LOCK,
            *(ADD.format(n=n) for n in range(len(new))),
            READ_OWN,
        ]
        with connection.cursor() as cursor:
            cursor.execute(";".join(batch), values)
            while cursor.nextset():
                pass
            return [Stored(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class SqliteInProcess(SharedSql):
    """One IMMEDIATE transaction, with a fair queue of this process's threads in front."""

    def exchange(self, to: Address, new: Sequence[NewMessage], size: int) -> list[Stored]:
        connection = connections[self.using]
        where = self.where(to, size)
        with (
            _queue(connection),
            transaction.atomic(self.using, durable=True),
            connection.cursor() as cursor,
        ):
            cursor.execute(LOCK, where)
            for message in new:
                cursor.execute(ADD.format(n=""), where | self.row(message, ""))
            cursor.execute(READ_OWN, where | self.own(new))
            return [Stored(*row) for row in cursor.fetchall()]


# One queue per database file of this process.
_queues: defaultdict[str, FairLock] = defaultdict(FairLock)
_queues_guard = threading.Lock()


def _queue(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    with _queues_guard:
        queue = _queues[str(connection.settings_dict["NAME"])]
    return queue.held(timeout=connection.settings_dict["OPTIONS"]["timeout"])
