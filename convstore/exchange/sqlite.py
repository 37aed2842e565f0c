"""The exchange on SQLite: one IMMEDIATE transaction, and a fair queue in front of it."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connections

from convstore.conf import database_timeout
from convstore.exchange import shared_sql
from convstore.exchange.fair_lock import FairLock
from convstore.exchange.shared_sql import (
    COLUMNS,
    MESSAGE,
    NEWEST,
    OWN,
    SAME_ID,
    SharedSql,
    lacks_bodies,
    open_cursor,
    with_guard,
)
from convstore.exchange.statements import (
    ConversationRef,
    Found,
    NewMessage,
    Outcome,
    Reply,
    StoredMessage,
    are_plain,
    as_stored_message,
    outcome_of,
)
from convstore.models import Kind
from convstore.windows import Reading

# What has another name in SQLite, or is not there before 3.43.
OTHER_WORDS = {"LEAST(": "MIN(", "OCTET_LENGTH(body)": "LENGTH(CAST(body AS BLOB))"}


def in_sqlite(statement: str) -> str:
    """The statement in SQLite's words, with :name for %(name)s: Python's module prepares it once,
    and keeps it."""
    for word, own in OTHER_WORDS.items():
        statement = statement.replace(word, own)
    return re.sub(r"%\((\w+)\)s", r":\1", statement)


LOCK, ADD = in_sqlite(shared_sql.LOCK), in_sqlite(shared_sql.ADD)
find = cache(lambda count: in_sqlite(shared_sql.find(count)))


class Range:
    """The window up to a bound. Most windows pin no message, so that is asked for by itself:
    with UNION ALL, SQLite would copy each row of the window twice."""

    def __init__(self, bound: str) -> None:
        self.rows, self.pinned = (
            in_sqlite(with_guard(each, bound)) for each in (shared_sql.ROWS, shared_sql.PINNED)
        )

    def read(self, cursor: Any, parameters: Mapping[str, Any]) -> list[StoredMessage] | None:
        """The window, oldest first; None if it may be over the limit on replies."""
        rows = cursor.execute(self.rows, parameters).fetchall()
        if len(rows) == parameters["size"] > 1 and rows[-1][0] > 1:
            rows[-1:] = cursor.execute(self.pinned, parameters).fetchall() or rows[-1:]
        if lacks_bodies(rows):
            return None
        rows.reverse()
        return list(map(as_stored_message, rows))


# What several messages need to know. Nobody else writes until the end of the transaction.
LOOK = in_sqlite(f"SELECT COALESCE(({NEWEST}), 0), {SAME_ID}")
ROW = f"""(:key, :last + {{n}} + 1, :role_{{n}}, :body_{{n}}, :request_key_{{n}}, :fingerprint,
  :now, :size_{{n}}, :tokens_{{n}}, {Kind.MESSAGE.value}, :words_{{n}})"""
ROWS_AT_ONCE = 100  # older versions of SQLite take 999 parameters
# A larger body is not kept in memory until the next message comes.
KEPT_BYTES = 1024 * 1024
# A shorter wait is not taken off the time limit.
SHORT_WAIT = 0.1


@cache
def add_several(count: int) -> str:
    """The statement that adds so many messages."""
    rows = ", ".join(ROW.format(n=n) for n in range(count))
    return f"""
INSERT INTO {MESSAGE}
  {COLUMNS}
VALUES {rows}
ON CONFLICT (conversation_id, request_key) DO NOTHING"""


UP_TO_NEWEST, UP_TO_OWN = Range(NEWEST), Range(OWN)

# One lock for each database file of this process.
_locks: defaultdict[str, FairLock] = defaultdict(FairLock)
_locks_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class SqliteInProcess(SharedSql):
    """The threads of this process write one after the other, in the order of their requests."""

    def read_window(
        self, conversation: ConversationRef, reading: Reading
    ) -> list[StoredMessage] | None:
        parameters = {
            "key": self.uuid(conversation.key),
            "memory_id": conversation.memory_id,
            "size": reading.size,
            "max_bytes": reading.max_bytes,
        }
        connection = connections[self.using]
        with open_cursor(connection) as cursor, _one_snapshot(connection, cursor):
            return UP_TO_NEWEST.read(cursor, parameters)

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        may_fit = sum(message.size for message in new) <= reading.max_bytes
        is_plain = reading.is_plain and may_fit and are_plain(new)
        with turn_to_write(connections[self.using]):
            reply = self._exchange(conversation, new, reading) if is_plain else None
            return reply or self.portable.exchange(conversation, new, reading)

    def _exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply | None:
        """The reply; None if somebody has to look closer, and nothing was done."""
        connection = connections[self.using]
        parameters = self.parameters(conversation, reading) | self.key_parameters(new)
        with _write_transaction(connection) as cursor:
            cursor.execute(LOCK, parameters)
            added = self._add(cursor, parameters, new)
            found = Found(conversation.memory_id, added, added)
            if not added:
                cursor.execute(find(len(new)), parameters)
                found = Found(*cursor.fetchone())
            outcome = outcome_of(found, conversation.memory_id, len(new))
            if outcome != Outcome.DONE:
                connection.connection.rollback()
                # Of a retry, a part may have been deleted.
                return None if outcome == Outcome.KEY_REUSED else Reply(outcome)
            window = UP_TO_OWN.read(cursor, parameters)
            if window is None:
                connection.connection.rollback()
                return None
        return Reply(outcome, found.last or window[-1].position, window)

    def _add(self, cursor: Any, parameters: dict[str, Any], new: Sequence[NewMessage]) -> int:
        """Add the messages that are not there yet; how many those were."""
        if len(new) == 1:
            values = parameters | self.message_parameters(new[0], 0)
            cursor.execute(ADD, values)
            added = int(cursor.rowcount)
            if new[0].size > KEPT_BYTES:
                # The driver keeps a statement with its last values. These add nothing.
                cursor.execute(ADD, values | {"memory_id": None, "body_0": ""})
            return added
        cursor.execute(LOOK, parameters)
        # All rows, or SQLite would keep the file locked for a connection that breaks here.
        ((last, is_same_id),) = cursor.fetchall()
        added = 0
        for start in range(0, len(new) if is_same_id else 0, ROWS_AT_ONCE):
            some = new[start : start + ROWS_AT_ONCE]
            own = self.key_parameters(some) | {"last": last + start}
            for n, message in enumerate(some):
                own |= self.message_parameters(message, n)
            cursor.execute(add_several(len(some)), parameters | own)
            added += cursor.rowcount
        return added


@contextmanager
def _one_snapshot(connection: Any, cursor: Any) -> Iterator[None]:
    """Let all statements read the same messages. The transaction of a caller does so by itself."""
    if connection.connection.in_transaction:
        yield
        return
    cursor.execute("BEGIN")
    try:
        yield
    finally:
        connection.connection.rollback()  # there is nothing to commit


@contextmanager
def _write_transaction(connection: Any) -> Iterator[Any]:
    """A cursor in a transaction, which is committed at the end unless it was rolled back before."""
    with open_cursor(connection) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            connection.connection.commit()
        except BaseException:
            connection.connection.rollback()
            raise


@contextmanager
def turn_to_write(connection: Any) -> Iterator[None]:
    """Wait for the other writers of this process; those of others then have what is left of the
    time that a request may wait."""
    with _locks_guard:
        lock = _locks[str(connection.settings_dict["NAME"])]
    # SQLite's own time limit, where the settings have one.
    timeout = connection.settings_dict["OPTIONS"].get("timeout", database_timeout())
    begun = time.monotonic()
    with lock.acquire(timeout=timeout):
        waited = time.monotonic() - begun
        if waited < SHORT_WAIT:
            yield
            return
        _set_busy_timeout(connection, max(0.0, timeout - waited))
        try:
            yield
        finally:
            _set_busy_timeout(connection, timeout)


def _set_busy_timeout(connection: Any, seconds: float) -> None:
    if connection.connection is not None:  # it may have been closed meanwhile
        connection.connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
