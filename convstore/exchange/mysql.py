"""The exchange on MariaDB and MySQL: a transaction that is sent in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import Error, connections

from convstore.exchange.shared_sql import (
    CONVERSATION,
    MESSAGE,
    NEWEST,
    OWN,
    PINNED,
    ROWS,
    SharedSql,
)
from convstore.exchange.statements import ConversationRef, NewMessage, StoredMessage

# `=` on text ignores trailing blanks, so the ids are compared as bytes.
SAME_ID = f"""(SELECT CAST(memory_id AS BINARY) FROM {CONVERSATION} WHERE id = %(key)s)
    = CAST(%(memory_id)s AS BINARY)"""
# The row is locked in any case, and rewritten only if active_at changes.
LOCK = f"""
INSERT INTO {CONVERSATION} (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON DUPLICATE KEY UPDATE active_at = IF(active_at < %(stale)s, %(now)s, active_at)"""
# Two statements that need no temporary table; with bodies in it, MariaDB would write one to
# disk. Not INSERT IGNORE, which truncates values that are too long.
ADD = f"""SET @convstore_last = COALESCE(({NEWEST}), 0);
INSERT INTO {MESSAGE}
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT %(key)s, @convstore_last + 1,
  %(role_{{n}})s, %(body_{{n}})s, %(request_key_{{n}})s, %(fingerprint_{{n}})s, %(now)s
FROM DUAL WHERE {SAME_ID}
ON DUPLICATE KEY UPDATE {MESSAGE}.position = {MESSAGE}.position"""
READ = f"{ROWS};{PINNED}".format(bound=NEWEST, same_id=SAME_ID)
READ_OWN = f"{ROWS};{PINNED}".format(bound=OWN, same_id=SAME_ID)


@dataclass(frozen=True, slots=True)
class MySqlBatch(SharedSql):
    """One round trip, in a session whose isolation level is READ COMMITTED."""

    def window(self, conversation: ConversationRef, size: int) -> list[StoredMessage]:
        return self.fetch_all(READ, self.parameters(conversation, size))

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        adds = [ADD.format(n=n) for n in range(len(new))]
        batch = ["START TRANSACTION", LOCK, *adds, READ_OWN, "COMMIT"]
        try:
            return self.run_batch(batch, conversation, new, size)
        except Error:
            # The server stopped at the statement that failed, inside the transaction.
            try:
                connections[self.using].rollback()
            except Error:
                connections[self.using].close()
            raise
