"""The exchange in SQL: the statements and parameters that several vendors share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections

from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.statements import (
    ACTIVE_STEP,
    PINNED_ROLES,
    ConversationRef,
    Found,
    NewMessage,
    Outcome,
    Reply,
    StoredMessage,
    as_stored_message,
    outcome_of,
    pinned_window,
)
from convstore.models import Conversation, Kind, Message
from convstore.windows import Reading

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
  WHERE conversation_id = %(key)s AND request_key = %(last_key)s"""
# All messages of this request; {keys} stands for its keys.
OWN_ROWS = f"{MESSAGE} WHERE conversation_id = %(key)s AND request_key IN ({{keys}})"

# Create the conversation's row, or lock it. An existing row is locked also where the WHERE
# prevents the update. So every append locks the row, and only one append an hour rewrites it.
LOCK = f"""
INSERT INTO {CONVERSATION} (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at
WHERE {CONVERSATION}.active_at < %(stale)s"""

COLUMNS = """(conversation_id, position, role, body, request_key, fingerprint,
   created_at, size, tokens, kind, words)"""
# One message. It adds nothing if its key is stored.
ADD = f"""
INSERT INTO {MESSAGE}
  {COLUMNS}
SELECT %(key)s, COALESCE(({NEWEST}), 0) + 1, %(role_0)s, %(body_0)s,
  %(request_key_0)s, %(fingerprint)s, %(now)s, %(size_0)s, %(tokens_0)s,
  {Kind.MESSAGE.value}, %(words_0)s
WHERE {SAME_ID}
ON CONFLICT (conversation_id, request_key) DO NOTHING"""

# `Found`.
FIND = f"""
SELECT (SELECT memory_id FROM {CONVERSATION} WHERE id = %(key)s), COUNT(*),
  SUM(CASE WHEN fingerprint = %(fingerprint)s OR kind = {Kind.ERASED.value} THEN 1 ELSE 0 END),
  MAX(position)
FROM {OWN_ROWS}"""

# The newest rows up to {bound}, which is the request's last message or the newest one, and the
# pinned row. They are two ranges of the primary key, because `position > n OR position = 1`
# would scan the whole conversation on SQLite.
ROWS = f"""SELECT position, role, {{body}} FROM {MESSAGE}
  WHERE conversation_id = %(key)s AND position <= ({{bound}}) AND {IN_WINDOWS} AND {{same_id}}
  ORDER BY position DESC LIMIT %(size)s"""
PINNED = f"""SELECT position, role, {{body}} FROM {MESSAGE}
  WHERE conversation_id = %(key)s AND position = 1 AND role IN ({ROLES}) AND {IN_WINDOWS}
    AND ({{bound}}) > %(size)s AND {{same_id}}"""
BOTH = f"SELECT * FROM ({ROWS}) AS newest UNION ALL SELECT * FROM ({PINNED}) AS pinned"

# The bytes of so many rows up to {bound}, and those of the first one, which may be pinned. Rows
# that were written before there was the column have size 0. NULL, if messages in between are
# erased. A LIMIT in a subquery would need a temporary table on MariaDB.
SIZE = "CASE WHEN size > 0 THEN size ELSE OCTET_LENGTH(body) END"
BYTES = f"""(SELECT CASE WHEN COUNT(*) = LEAST(COALESCE(({{bound}}), 0), {{count}})
      THEN COALESCE(SUM({SIZE}), 0) END
    FROM {MESSAGE}
    WHERE conversation_id = %(key)s AND position > ({{bound}}) - {{count}}
      AND position <= ({{bound}}) AND {IN_WINDOWS})
  + COALESCE((SELECT {SIZE} FROM {MESSAGE} WHERE conversation_id = %(key)s AND position = 1), 0)"""
# A window fits for sure if no body has more bytes than its share. Only if one has more are the
# bytes of all added up.
BODY = f"""CASE WHEN {SIZE} <= %(max_bytes)s / %(size)s OR {BYTES} <= %(max_bytes)s
    THEN body END AS body"""
FITS = BYTES.format(bound=NEWEST, count="%(older)s") + " + %(new_bytes)s <= %(max_bytes)s"


def with_guard(statement: str, bound: str, same_id: str = SAME_ID) -> str:
    """ROWS, PINNED or BOTH up to {bound}, without large bodies if all may be too many bytes."""
    body = BODY.format(bound=bound, count="%(size)s")
    return statement.format(bound=bound, same_id=same_id, body=body)


GUARDED_READ = with_guard(BOTH, NEWEST)


# It may not be stored because its window may be over a limit; or some of its keys may be missing
# because their messages were deleted.
LOOK_CLOSER = (Outcome.NOT_STORED, Outcome.KEY_REUSED)


def find(count: int) -> str:
    """FIND for a request of so many messages."""
    return FIND.format(keys=placeholders(count))


def placeholders(count: int) -> str:
    """The names of the parameters that hold the request's keys."""
    return ", ".join(f"%(request_key_{n})s" for n in range(count))


@dataclass(frozen=True, slots=True)
class SharedSql:
    """What the variants in SQL have in common: reading a window, and the parameters."""

    using: str

    def window(self, conversation: ConversationRef, reading: Reading) -> Reply:
        if reading.is_plain:
            window = self.read_window(conversation, reading)
            if window is not None:
                return Reply(Outcome.DONE, rows=window)
        return self.portable.window(conversation, reading)

    @property
    def portable(self) -> PortableOrm:
        """What takes over where a window is not plain, or not surely within the limits."""
        return PortableOrm(self.using)

    def read_window(
        self, conversation: ConversationRef, reading: Reading
    ) -> list[StoredMessage] | None:
        """The newest window; None if it may be over the limit."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(GUARDED_READ, self.parameters(conversation, reading))
            return window_of(cursor.fetchall(), reading.size)

    def run_batch(
        self,
        statements: Sequence[str],
        conversation: ConversationRef,
        new: Sequence[NewMessage],
        reading: Reading,
    ) -> Reply:
        """Run the statements of an exchange in one round trip: `find`, then the window."""
        parameters = self.parameters(conversation, reading) | self.key_parameters(new)
        parameters["older"] = max(reading.size - len(new), 0)
        parameters["new_bytes"] = sum(message.size for message in new)
        for n, message in enumerate(new):
            parameters |= self.message_parameters(message, n)
        (found, *_), *windows = self.fetch_all(";".join(statements), parameters)
        window = window_of([row for rows in windows for row in rows], reading.size)
        outcome = outcome_of(Found(*found), conversation.memory_id, len(new))
        if outcome in LOOK_CLOSER or window is None:
            return self.portable.exchange(conversation, new, reading)
        if outcome != Outcome.DONE:
            return Reply(outcome)
        return Reply(outcome, Found(*found).last or window[-1].position, window)

    def fetch_all(self, statements: str, parameters: dict[str, Any]) -> list[list[Any]]:
        """Send several statements as one query; return the rows of each that has some."""
        results: list[list[Any]] = []
        with connections[self.using].cursor() as cursor:
            cursor.execute(statements, parameters)
            while True:
                if cursor.description:
                    results.append(cursor.fetchall())
                if not cursor.nextset():
                    return results

    def parameters(self, conversation: ConversationRef, reading: Reading) -> dict[str, Any]:
        """The parameters that every statement has."""
        operations = connections[self.using].ops
        return {
            "key": self.uuid(conversation.key),
            "memory_id": conversation.memory_id,
            "now": operations.adapt_datetimefield_value(conversation.now),
            "stale": operations.adapt_datetimefield_value(conversation.now - ACTIVE_STEP),
            "size": reading.size,
            "max_bytes": reading.max_bytes,
        }

    def message_parameters(self, message: NewMessage, n: int) -> dict[str, Any]:
        """The parameters of ADD for one message, whose names end in `n`."""
        return {
            f"role_{n}": message.role,
            f"body_{n}": message.body,
            f"size_{n}": message.size,
            f"tokens_{n}": message.tokens,
            f"words_{n}": message.words,
        }

    def key_parameters(self, new: Sequence[NewMessage]) -> dict[str, Any]:
        """The parameters that tell which messages are those of this request."""
        keys = [self.uuid(message.request_key) for message in new]
        return {
            "fingerprint": self.uuid(new[0].fingerprint),
            "last_key": keys[-1],
            **{f"request_key_{n}": key for n, key in enumerate(keys)},
        }

    def uuid(self, value: UUID) -> UUID | str:
        """The value as the database stores UUIDs."""
        native = connections[self.using].features.has_native_uuid_field
        return value if native else value.hex


@contextmanager
def open_cursor(connection: Any) -> Iterator[Any]:
    """The driver's cursor. Django's costs more, and serves those who watch it."""
    watched = connection.execute_wrappers or connection.queries_logged
    with connection.wrap_database_errors:
        yield connection.cursor() if watched else connection.connection.cursor()


def window_of(rows: Sequence[Any], size: int) -> list[StoredMessage] | None:
    """The window out of the rows of a guarded statement; None if it left bodies out."""
    if lacks_bodies(rows):
        return None
    return pinned_window(list(map(as_stored_message, rows)), size)


def lacks_bodies(rows: Sequence[Any]) -> bool:
    """Whether a guarded statement left bodies out of its rows."""
    return None in [body for _, _, body in rows]
