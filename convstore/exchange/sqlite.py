"""The exchange on SQLite: one IMMEDIATE transaction, and a fair queue in front of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.conf import database_timeout
from convstore.exchange.fair_lock import FairLock
from convstore.exchange.shared_sql import ADD, LOCK, READ_OWN, SharedSql, find, reply
from convstore.exchange.statements import ConversationRef, Found, NewMessage, Reply

# One lock for each database file of this process.
_locks: defaultdict[str, FairLock] = defaultdict(FairLock)
_locks_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class SqliteInProcess(SharedSql):
    """The threads of this process write one after the other, in the order of their requests."""

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> Reply:
        connection = connections[self.using]
        parameters = self.parameters(conversation, size)
        with (
            _turn_to_write(connection),
            transaction.atomic(self.using, durable=True),
            connection.cursor() as cursor,
        ):
            cursor.execute(LOCK, parameters)
            added = 0
            for message in new:
                own = self.key_parameters([message]) | self.message_parameters(message, 0)
                cursor.execute(ADD, parameters | own)
                added += cursor.rowcount
            parameters |= self.key_parameters(new)
            found = Found(conversation.memory_id, added, added)
            if not added:
                cursor.execute(find(len(new)), parameters)
                found = Found(*cursor.fetchone())
            cursor.execute(READ_OWN, parameters)
            rows = cursor.fetchall()
            if 0 < added < len(new):
                transaction.set_rollback(True, self.using)
            return reply(found, conversation, new, rows, size)


def _turn_to_write(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    with _locks_guard:
        lock = _locks[str(connection.settings_dict["NAME"])]
    # SQLite's own time limit, where the settings have one.
    timeout = connection.settings_dict["OPTIONS"].get("timeout", database_timeout())
    return lock.acquire(timeout=timeout)
