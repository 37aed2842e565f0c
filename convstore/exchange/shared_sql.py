"""The exchange in SQL: the statements and parameters that several vendors share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections

from convstore.exchange.statements import (
    ACTIVE_STEP,
    PINNED_ROLES,
    ConversationRef,
    NewMessage,
    StoredMessage,
)
from convstore.models import Conversation, Kind, Message

CONVERSATION, MESSAGE = Conversation._meta.db_table, Message._meta.db_table
ROLES = ", ".join(f"'{role}'" for role in PINNED_ROLES)
# The condition IN_WINDOWS of models.py.
IN_WINDOWS = f"kind = {Kind.MESSAGE.value}"

# Every statement has the conversation's key as a value of its own, never from a join, so that
# a planner sees which partition or shard it needs. Every statement also compares memory_id, so
# that the row of another id with the same hash is neither written to nor read.
SAME_ID = f"""(SELECT memory_id FROM {CONVERSATION} WHERE id = %(key)s)
    = %(memory_id)s"""
# The position of the conversation's last message.
NEWEST = f"SELECT MAX(position) FROM {MESSAGE} WHERE conversation_id = %(key)s"
# The position of the last message of this request, also if an earlier try has stored it.
OWN = f"""SELECT position FROM {MESSAGE}
  WHERE conversation_id = %(key)s AND request_key = %(own)s"""

# Create the conversation's row, or lock it. An existing row is locked also where the WHERE
# prevents the update. So every append locks the row, and only one append an hour rewrites it.
LOCK = f"""
INSERT INTO {CONVERSATION} (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at
WHERE {CONVERSATION}.active_at < %(stale)s"""

# One message; {n} numbers the parameters of several.
ADD = f"""
INSERT INTO {MESSAGE}
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT %(key)s, COALESCE(({NEWEST}), 0) + 1,
  %(role_{{n}})s, %(body_{{n}})s, %(request_key_{{n}})s, %(fingerprint_{{n}})s, %(now)s
WHERE {SAME_ID}
ON CONFLICT (conversation_id, request_key) DO NOTHING"""

# The newest rows up to {bound}, which is the request's last message or the newest one, and the
# pinned row. They are two ranges of the primary key, because `position > n OR position = 1`
# would scan the whole conversation on SQLite.
ROWS = f"""SELECT position, role, body FROM {MESSAGE}
  WHERE conversation_id = %(key)s AND position <= ({{bound}}) AND {IN_WINDOWS} AND {{same_id}}
  ORDER BY position DESC LIMIT %(size)s"""
PINNED = f"""SELECT position, role, body FROM {MESSAGE}
  WHERE conversation_id = %(key)s AND position = 1 AND role IN ({ROLES}) AND {IN_WINDOWS}
    AND ({{bound}}) > %(size)s AND {{same_id}}"""
BOTH = f"SELECT * FROM ({ROWS}) AS newest UNION ALL SELECT * FROM ({PINNED}) AS pinned"
# The newest window, and the window that ends in the last message of this request.
READ = BOTH.format(bound=NEWEST, same_id=SAME_ID)
READ_OWN = BOTH.format(bound=OWN, same_id=SAME_ID)


@dataclass(frozen=True, slots=True)
class SharedSql:
    """What the variants in SQL have in common: reading a window, and the parameters."""

    using: str

    def window(self, conversation: ConversationRef, size: int) -> list[StoredMessage]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(READ, self.parameters(conversation, size))
            return [StoredMessage(*row) for row in cursor.fetchall()]

    def run_batch(
        self,
        statements: Sequence[str],
        conversation: ConversationRef,
        new: Sequence[NewMessage],
        size: int,
    ) -> list[StoredMessage]:
        """Run the statements of an exchange in one round trip."""
        parameters = self.parameters(conversation, size) | self.own_key(new)
        for n, message in enumerate(new):
            parameters |= self.message_parameters(message, n)
        return self.fetch_all(";".join(statements), parameters)

    def fetch_all(self, statements: str, parameters: dict[str, Any]) -> list[StoredMessage]:
        """Send several statements as one query; return the rows of all of them."""
        rows: list[StoredMessage] = []
        with connections[self.using].cursor() as cursor:
            cursor.execute(statements, parameters)
            while True:
                if cursor.description:
                    rows += [StoredMessage(*row) for row in cursor.fetchall()]
                if not cursor.nextset():
                    return rows

    def parameters(self, conversation: ConversationRef, size: int) -> dict[str, Any]:
        """The parameters that every statement has."""
        operations = connections[self.using].ops
        return {
            "key": self.uuid(conversation.key),
            "memory_id": conversation.memory_id,
            "now": operations.adapt_datetimefield_value(conversation.now),
            "stale": operations.adapt_datetimefield_value(conversation.now - ACTIVE_STEP),
            "size": size,
        }

    def message_parameters(self, message: NewMessage, n: int | str) -> dict[str, Any]:
        """The parameters of ADD for one message, whose names end in `n`."""
        return {
            f"role_{n}": message.role,
            f"body_{n}": message.body,
            f"request_key_{n}": self.uuid(message.request_key),
            f"fingerprint_{n}": self.uuid(message.fingerprint),
        }

    def own_key(self, new: Sequence[NewMessage]) -> dict[str, Any]:
        """The parameter of OWN: the key of the request's last message."""
        return {"own": self.uuid(new[-1].request_key)}

    def uuid(self, value: UUID) -> UUID | str:
        """The value as the database stores UUIDs."""
        native = connections[self.using].features.has_native_uuid_field
        return value if native else value.hex
