"""The exchange on PostgreSQL: all statements in one round trip, without BEGIN and COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convstore.conf import database_timeout
from convstore.exchange.shared_sql import (
    COLUMNS,
    LOCK,
    MESSAGE,
    NEWEST,
    OWN_ROWS,
    READ_OWN,
    SAME_ID,
    SharedSql,
    find,
    placeholders,
)
from convstore.exchange.statements import ConversationRef, NewMessage, Reply
from convstore.models import Kind

# All messages of a request; {rows} stands for them, {keys} for their keys.
ADD = f"""
INSERT INTO {MESSAGE}
  {COLUMNS}
SELECT %(key)s, COALESCE(({NEWEST}), 0) + n, role, body, request_key, %(fingerprint)s, %(now)s,
  size, {Kind.MESSAGE.value}
FROM (VALUES {{rows}}) AS new (n, role, body, request_key, size)
WHERE {SAME_ID} AND NOT EXISTS (SELECT 1 FROM {OWN_ROWS})"""
ROW = "({n} + 1, %(role_{n})s, %(body_{n})s, %(request_key_{n})s, %(size_{n})s)"


@dataclass(frozen=True, slots=True)
class PostgresBatch(SharedSql):
    """One round trip.

    PostgreSQL runs the statements as one implicit transaction in which each has its own
    snapshot. The lock is held only while the server works, so no client can stall another.
    """

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> Reply:
        count = len(new)
        rows = ", ".join(ROW.format(n=n) for n in range(count))
        statements = [
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL lock_timeout = '{database_timeout()}s'",
            LOCK,
            ADD.format(rows=rows, keys=placeholders(count)),
            find(count),
            READ_OWN,
        ]
        return self.run_batch(statements, conversation, new, size)
