"""The exchange on MariaDB and MySQL, in one round trip: a procedure of MariaDB, or a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import Error, connections

from convstore.database.mysql.faults import error_code
from convstore.database.mysql.server import MAY_CALL_PROCEDURES
from convstore.exchange.portable_orm import PortableOrm
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
    open_cursor,
    placeholders,
    window_of,
    with_guard,
)
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
    Statements,
    StoredMessage,
    are_plain,
    as_stored_message,
)
from convstore.messages import MAX_NAME_LENGTH
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
  {Kind.MESSAGE.value}, %(words_{{n}})s
FROM DUAL WHERE @convstore_adds"""
# Who holds no lock reads by one statement, which has one snapshot.
READ = f"({with_guard(ROWS, NEWEST, SAME_ID)}) UNION ALL ({with_guard(PINNED, NEWEST, SAME_ID)})"
READ_OWN = f"{with_guard(ROWS, OWN, SAME_ID)};{with_guard(PINNED, OWN, SAME_ID)}"

# The procedures of migrations 0006 and 0014.
CALL_EXCHANGE = f"CALL convstore_exchange_v1({', '.join(['%s'] * 11)})"
CALL_WINDOW = "CALL convstore_window_v2(%s, %s, %s, %s)"
# The error in which a procedure ends that cannot serve; its text is one of these. Triggers of
# others may end in it, too.
SIGNALLED = 1644
MEASURE_FIRST = "measure first"
# No such procedure; one of this name with other parameters; no right to call it.
CANNOT_CALL = (1305, 1318, 1370)


@dataclass(frozen=True, slots=True)
class MySqlBatch(SharedSql):
    """One round trip, in a session whose isolation level is READ COMMITTED."""

    def read_window(
        self, conversation: ConversationRef, reading: Reading
    ) -> list[StoredMessage] | None:
        (rows,) = self.fetch_all(READ, self.parameters(conversation, reading))
        return window_of(rows, reading.size)

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        if not (reading.is_plain and are_plain(new)):
            return self.portable.exchange(conversation, new, reading)
        count = len(new)
        look = LOOK.format(keys=placeholders(count))
        adds = [ADD.format(n=n) for n in range(count)]
        statements = ["START TRANSACTION", LOCK, look, *adds, find(count), READ_OWN, "COMMIT"]
        with _rollback_after_error(self.using):
            return self.run_batch(statements, conversation, new, reading)


@dataclass(frozen=True, slots=True)
class MariaDbProcedures:
    """One call of a procedure, for a request of one message and for windows without options.

    Where it cannot serve, it has done nothing, and `batch` runs. It writes no words.
    """

    using: str
    batch: Statements

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        is_plain = reading.is_plain and are_plain(new) and _is_short(conversation)
        if len(new) > 1 or not is_plain or new[0].words is not None:
            return self.batch.exchange(conversation, new, reading)
        (message,) = new
        reply = self._call(
            CALL_EXCHANGE,
            conversation.key.hex,
            conversation.memory_id,
            connections[self.using].ops.adapt_datetimefield_value(conversation.now),
            reading.size,
            reading.max_bytes,
            message.fingerprint.hex,
            message.role,
            message.body,
            message.request_key.hex,
            message.size,
            message.tokens,
        )
        if not isinstance(reply, Reply):
            return reply.exchange(conversation, new, reading)
        return reply._replace(last=reply.rows[-1].position) if reply.rows else reply

    def window(self, conversation: ConversationRef, reading: Reading) -> Reply:
        # After an error of a procedure, a transaction of the caller would be rolled back.
        is_plain = reading.is_plain and _is_short(conversation)
        if not (is_plain and connections[self.using].autocommit):
            return self.batch.window(conversation, reading)
        identity = conversation.key.hex, conversation.memory_id
        reply = self._call(CALL_WINDOW, *identity, reading.size, reading.max_bytes)
        return reply if isinstance(reply, Reply) else reply.window(conversation, reading)

    def _call(self, statement: str, *arguments: Any) -> Reply | Statements:
        """The procedure's reply, without `last`; where it cannot serve, the variant that does."""
        connection: Any = connections[self.using]
        driver = connection.connection
        try:
            rows = _rows(connection, statement, arguments)
        except Error as error:
            code = error_code(error.__cause__)
            if code in CANNOT_CALL:
                # Since the connection was asked, it was dropped, or its use forbidden.
                driver.has_procedures = False
                return self.batch
            reason = error.args[-1] if code == SIGNALLED else None
            # Of a request whose key seems to be reused, a part may have been erased.
            if reason in (MEASURE_FIRST, Outcome.KEY_REUSED):
                return PortableOrm(self.using)
            if reason == Outcome.ID_CLASH:
                return Reply(Outcome.ID_CLASH)
            raise
        window = [_stored_message(*row) for row in rows]
        window.reverse()
        return Reply(Outcome.DONE, rows=window)


def _is_short(conversation: ConversationRef) -> bool:
    """Whether a parameter of the procedures can hold its id."""
    return len(conversation.memory_id) <= MAX_NAME_LENGTH


def may_call_procedures(connection: Any) -> bool:
    """Whether the procedures are there for this connection, which is asked about once."""
    connection.ensure_connection()
    driver = connection.connection
    if driver.has_procedures is None:
        with connection.wrap_database_errors, driver.cursor() as cursor:
            cursor.execute(MAY_CALL_PROCEDURES)
            ((found,),) = cursor.fetchall()
            driver.has_procedures = bool(found)
    has_procedures: bool = driver.has_procedures
    return has_procedures


@contextmanager
def _rollback_after_error(using: str) -> Iterator[None]:
    """The server stops at the statement that fails, inside the transaction."""
    try:
        yield
    except Error:
        try:
            connections[using].rollback()
        except Error:
            connections[using].close()
        raise


def _rows(connection: Any, statement: str, arguments: Sequence[Any]) -> Sequence[Any]:
    """The rows of a call, which has ended without an error."""
    with _rollback_after_error(connection.alias), open_cursor(connection) as cursor:
        cursor.execute(statement, arguments)
        rows: Sequence[Any] = cursor.fetchall()
        # What comes after the rows says whether COMMIT succeeded. Django's cursor, when it is
        # closed, would read it and ignore an error.
        while cursor.nextset():
            pass
        return rows


def _stored_message(head: str, body: str) -> StoredMessage:
    position, _, role = head.partition(" ")
    message: StoredMessage = as_stored_message((int(position), role, body))
    return message
