"""The exchange on SQLite: one IMMEDIATE transaction, and a fair queue in front of it."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connections

from convstore.conf import database_timeout
from convstore.exchange import shared_sql
from convstore.exchange.fair_lock import FairLock
from convstore.exchange.shared_sql import NEWEST, OWN, SAME_ID, SharedSql
from convstore.exchange.statements import (
    ConversationRef,
    Found,
    NewMessage,
    Outcome,
    Reply,
    StoredMessage,
    as_stored_message,
    outcome_of,
)


def colon_named(statement: str) -> str:
    """The statement with :name for %(name)s: Python's module prepares it once, and keeps it."""
    return re.sub(r"%\((\w+)\)s", r":\1", statement)


LOCK, ADD = colon_named(shared_sql.LOCK), colon_named(shared_sql.ADD)
find = cache(lambda count: colon_named(shared_sql.find(count)))


class Range:
    """The window up to a bound. Most windows pin no message, so that is asked for by itself:
    with UNION ALL, SQLite would copy each row of the window twice."""

    def __init__(self, bound: str) -> None:
        self.rows, self.pinned = (
            colon_named(each.format(bound=bound, same_id=SAME_ID))
            for each in (shared_sql.ROWS, shared_sql.PINNED)
        )

    def read(self, cursor: Any, parameters: Mapping[str, Any]) -> list[StoredMessage]:
        """The window, oldest first."""
        size = parameters["size"]
        cursor.execute(self.rows, parameters)
        rows = cursor.fetchall()
        if len(rows) == size > 1 and rows[-1][0] > 1:
            cursor.execute(self.pinned, parameters)
            rows[-1:] = cursor.fetchall() or rows[-1:]
        rows.reverse()
        return list(map(as_stored_message, rows))


UP_TO_NEWEST, UP_TO_OWN = Range(NEWEST), Range(OWN)

# One lock for each database file of this process.
_locks: defaultdict[str, FairLock] = defaultdict(FairLock)
_locks_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class SqliteInProcess(SharedSql):
    """The threads of this process write one after the other, in the order of their requests."""

    def window(self, conversation: ConversationRef, size: int) -> Reply:
        parameters = {
            "key": self.uuid(conversation.key),
            "memory_id": conversation.memory_id,
            "size": size,
        }
        with _open_cursor(connections[self.using]) as cursor:
            return Reply(Outcome.DONE, rows=UP_TO_NEWEST.read(cursor, parameters))

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> Reply:
        connection = connections[self.using]
        parameters = self.parameters(conversation, size) | self.key_parameters(new)
        with _turn_to_write(connection), _write_transaction(connection) as cursor:
            cursor.execute(LOCK, parameters)
            added = 0
            for message in new:
                own = {"request_key_0": self.uuid(message.request_key)}
                own |= self.message_parameters(message, 0)
                cursor.execute(ADD, parameters | own)
                added += cursor.rowcount
            found = Found(conversation.memory_id, added, added)
            if not added:
                cursor.execute(find(len(new)), parameters)
                found = Found(*cursor.fetchone())
            outcome = outcome_of(found, conversation.memory_id, len(new))
            if outcome != Outcome.DONE:
                connection.connection.rollback()
                return Reply(outcome)
            window = UP_TO_OWN.read(cursor, parameters)
        return Reply(outcome, found.last or window[-1].position, window)


@contextmanager
def _open_cursor(connection: Any) -> Iterator[Any]:
    """The driver's cursor. Django's costs more, and serves those who watch it."""
    watched = connection.execute_wrappers or connection.queries_logged
    with connection.wrap_database_errors:
        yield connection.cursor() if watched else connection.connection.cursor()


@contextmanager
def _write_transaction(connection: Any) -> Iterator[Any]:
    """A cursor in a transaction, which is committed at the end unless it was rolled back before."""
    with _open_cursor(connection) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            connection.connection.commit()
        except BaseException:
            connection.connection.rollback()
            raise


def _turn_to_write(connection: Any) -> AbstractContextManager[None]:
    with _locks_guard:
        lock = _locks[str(connection.settings_dict["NAME"])]
    # SQLite's own time limit, where the settings have one.
    timeout = connection.settings_dict["OPTIONS"].get("timeout", database_timeout())
    return lock.acquire(timeout=timeout)
