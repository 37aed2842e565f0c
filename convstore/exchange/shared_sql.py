"""The operation in SQL, and how PostgreSQL, MySQL, MariaDB and SQLite run it.

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
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.exchange.fair_lock import FairLock
from convstore.exchange.statements import (
    ACTIVE_STEP,
    PINNED_ROLES,
    ConversationRef,
    NewMessage,
    StoredMessage,
)

# Every statement has the conversation's key as a value of its own, never from a join: a
# planner sees which partition, or which shard, it needs. Each also has the guard on
# memory_id: a row that another id hashed to takes no message and shows none.
SAME_ID = """(SELECT memory_id FROM convstore_conversation WHERE id = %(key)s)
    = %(memory_id)s"""
NEWEST = "SELECT MAX(position) FROM convstore_message WHERE conversation_id = %(key)s"
OWN = """SELECT position FROM convstore_message
  WHERE conversation_id = %(key)s AND request_key = %(own)s"""

# Lock or create. The row of an existing conversation is locked whether or not the WHERE
# lets the update happen, so all but one append an hour leave it unwritten.
LOCK = """
INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at
WHERE convstore_conversation.active_at < %(stale)s"""

ADD = f"""
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT %(key)s, COALESCE(({NEWEST}), 0) + 1,
  %(role_{{n}})s, %(body_{{n}})s, %(request_key_{{n}})s, %(fingerprint_{{n}})s, %(now)s
WHERE {SAME_ID}
ON CONFLICT (conversation_id, request_key) DO NOTHING"""

# Two ranges of the primary key: `position > n OR position = 1` would scan the whole
# conversation on SQLite. The bound is the request's own last message, or the newest one.
ROWS = """SELECT position, role, body FROM convstore_message
  WHERE conversation_id = %(key)s AND position <= ({bound}) AND {same_id}
  ORDER BY position DESC LIMIT %(size)s"""
PINNED = """SELECT position, role, body FROM convstore_message
  WHERE conversation_id = %(key)s AND position = 1 AND role IN {roles}
    AND ({bound}) > %(size)s AND {same_id}"""
BOTH = f"SELECT * FROM ({ROWS}) AS newest UNION ALL SELECT * FROM ({PINNED}) AS pinned"  # noqa: S608
READ = BOTH.format(bound=NEWEST, roles=PINNED_ROLES, same_id=SAME_ID)
READ_OWN = BOTH.format(bound=OWN, roles=PINNED_ROLES, same_id=SAME_ID)

# MariaDB and MySQL. Their `=` for text ignores trailing blanks.
MYSQL_SAME_ID = """(SELECT CAST(memory_id AS BINARY) FROM convstore_conversation WHERE id = %(key)s)
    = CAST(%(memory_id)s AS BINARY)"""
# The row is locked whether or not this changes it, and not rewritten where it does not.
MYSQL_LOCK = """
INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON DUPLICATE KEY UPDATE active_at = IF(active_at < %(stale)s, %(now)s, active_at)"""
# In pieces that need no temporary table, which with bodies in it would be one on the disk. Not
# INSERT IGNORE, which cuts what is too long.
MYSQL_ADD = f"""SET @convstore_last = COALESCE(({NEWEST}), 0);
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT %(key)s, @convstore_last + 1,
  %(role_{{n}})s, %(body_{{n}})s, %(request_key_{{n}})s, %(fingerprint_{{n}})s, %(now)s
FROM DUAL WHERE {MYSQL_SAME_ID}
ON DUPLICATE KEY UPDATE convstore_message.position = convstore_message.position"""  # noqa: S608
IN_TURN = f"{ROWS};{PINNED}"
MYSQL_READ = IN_TURN.format(bound=NEWEST, roles=PINNED_ROLES, same_id=MYSQL_SAME_ID)
MYSQL_READ_OWN = IN_TURN.format(bound=OWN, roles=PINNED_ROLES, same_id=MYSQL_SAME_ID)


@dataclass(frozen=True, slots=True)
class SharedSql:
    """The read, and the parameters of all statements above."""

    using: str

    def window(self, to: ConversationRef, size: int) -> list[StoredMessage]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(READ, self.where(to, size))
            return [StoredMessage(*row) for row in cursor.fetchall()]

    def added_at_once(
        self, statements: Sequence[str], to: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        """An exchange of which all statements are one message to the server."""
        if connections[self.using].in_atomic_block:
            raise RuntimeError("an exchange inside atomic() would answer before its COMMIT")
        values = self.where(to, size) | self.own(new)
        for n, message in enumerate(new):
            values |= self.row(message, n)
        return self.sent(";".join(statements), values)

    def sent(self, statements: str, values: dict[str, Any]) -> list[StoredMessage]:
        """Send several statements in one message; the rows of those that have any."""
        rows: list[StoredMessage] = []
        with connections[self.using].cursor() as cursor:
            cursor.execute(statements, values)
            while True:
                if cursor.description:
                    rows += [StoredMessage(*row) for row in cursor.fetchall()]
                if not cursor.nextset():
                    return rows

    def where(self, to: ConversationRef, size: int) -> dict[str, Any]:
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

    def exchange(
        self, to: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        begin = [
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL lock_timeout = '{settings.DATABASE_TIMEOUT}s'",
        ]
        adds = [ADD.format(n=n) for n in range(len(new))]
        return self.added_at_once([*begin, LOCK, *adds, READ_OWN], to, new, size)


@dataclass(frozen=True, slots=True)
class MySqlBatch(SharedSql):
    """One round trip to MariaDB or MySQL, whose session is READ COMMITTED."""

    def window(self, to: ConversationRef, size: int) -> list[StoredMessage]:
        return self.sent(MYSQL_READ, self.where(to, size))

    def exchange(
        self, to: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        adds = [MYSQL_ADD.format(n=n) for n in range(len(new))]
        batch = ["START TRANSACTION", MYSQL_LOCK, *adds, MYSQL_READ_OWN, "COMMIT"]
        try:
            return self.added_at_once(batch, to, new, size)
        except Error:
            # The server stopped at the statement that failed, inside the transaction.
            try:
                connections[self.using].rollback()
            except Error:
                connections[self.using].close()
            raise


@dataclass(frozen=True, slots=True)
class SqliteInProcess(SharedSql):
    """One IMMEDIATE transaction, with a fair queue of this process's threads in front."""

    def exchange(
        self, to: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
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
            return [StoredMessage(*row) for row in cursor.fetchall()]


# One queue per database file of this process.
_queues: defaultdict[str, FairLock] = defaultdict(FairLock)
_queues_guard = threading.Lock()


def _queue(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    with _queues_guard:
        queue = _queues[str(connection.settings_dict["NAME"])]
    return queue.held(timeout=connection.settings_dict["OPTIONS"]["timeout"])
