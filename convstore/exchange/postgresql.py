"""The exchange on PostgreSQL: all statements in one round trip, without BEGIN and COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convstore.conf import database_timeout
from convstore.exchange.shared_sql import ADD, LOCK, READ_OWN, SharedSql
from convstore.exchange.statements import ConversationRef, NewMessage, StoredMessage


@dataclass(frozen=True, slots=True)
class PostgresBatch(SharedSql):
    """One round trip.

    PostgreSQL runs the statements as one implicit transaction in which each has its own
    snapshot. The lock is held only while the server works, so no client can stall another.
    """

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        settings = [
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL lock_timeout = '{database_timeout()}s'",
        ]
        adds = [ADD.format(n=n) for n in range(len(new))]
        return self.run_batch([*settings, LOCK, *adds, READ_OWN], conversation, new, size)
