"""The exchange on MariaDB and MySQL: a transaction that is sent in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import Error, connections

from convstore.exchange.shared_sql import (
    COLUMNS,
    CONVERSATION,
    FITS,
    MESSAGE,
    NEWEST,
    OWN,
    OWN_ROWS,
    PINNED,
    ROWS,
    SharedSql,
    find,
    guarded,
    placeholders,
    window_of,
)
from convstore.exchange.statements import ConversationRef, NewMessage, Reply, StoredMessage
from convstore.models import Kind
from convstore.windows import Reading

# `=` on text ignores trailing blanks, so the ids are compared as bytes.
SAME_ID = f"""(SELECT CAST(memory_id AS BINARY) FROM {CONVERSATION} WHERE id = %(key)s)
    = CAST(%(memory_id)s AS BINARY)"""
# The row is locked in any case, and rewritten only if active_at changes.
LOCK = f"""
INSERT INTO {CONVERSATION} (id, memory_id, created_at, active_at)
VALUES (%(key)s, %(memory_id)s, %(now)s, %(now)s)
ON DUPLICATE KEY UPDATE active_at = IF(active_at < %(stale)s, %(now)s, active_at)"""
# What ADD needs to know; {keys} stands for the request's keys. An INSERT that reads the table
# which it writes to needs a temporary table, as does one of several rows with a condition. With
# bodies in it, MariaDB would write it to disk. So this is a statement of its own, and each
# message has its own INSERT: on a server that runs them in one transaction.
LOOK = f"""SET @convstore_last = COALESCE(({NEWEST}), 0),
  @convstore_adds = {SAME_ID} AND NOT EXISTS (SELECT 1 FROM {OWN_ROWS}) AND {FITS}"""
# One message; {n} is its number. Not INSERT IGNORE, which truncates values that are too long.
ADD = f"""
INSERT INTO {MESSAGE}
  {COLUMNS}
SELECT %(key)s, @convstore_last + {{n}} + 1, %(role_{{n}})s, %(body_{{n}})s,
  %(request_key_{{n}})s, %(fingerprint)s, %(now)s, %(size_{{n}})s, %(tokens_{{n}})s,
  {Kind.MESSAGE.value}
FROM DUAL WHERE @convstore_adds"""
READ = f"{guarded(ROWS, NEWEST, SAME_ID)};{guarded(PINNED, NEWEST, SAME_ID)}"
READ_OWN = f"{guarded(ROWS, OWN, SAME_ID)};{guarded(PINNED, OWN, SAME_ID)}"


@dataclass(frozen=True, slots=True)
class MySqlBatch(SharedSql):
    """One round trip, in a session whose isolation level is READ COMMITTED."""

    def read_window(
        self, conversation: ConversationRef, reading: Reading
    ) -> list[StoredMessage] | None:
        results = self.fetch_all(READ, self.parameters(conversation, reading))
        return window_of([row for rows in results for row in rows], reading.size)

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        if not reading.is_plain:
            return self.portable.exchange(conversation, new, reading)
        count = len(new)
        look = LOOK.format(keys=placeholders(count))
        adds = [ADD.format(n=n) for n in range(count)]
        statements = ["START TRANSACTION", LOCK, look, *adds, find(count), READ_OWN, "COMMIT"]
        try:
            return self.run_batch(statements, conversation, new, reading)
        except Error:
            # The server stopped at the statement that failed, inside the transaction.
            try:
                connections[self.using].rollback()
            except Error:
                connections[self.using].close()
            raise
