"""The exchange on PostgreSQL, in one round trip: a function of the database, or a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import Error, connections

from convstore.database.postgresql.faults import error_code
from convstore.database.postgresql.server import MAY_CALL_FUNCTIONS
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.shared_sql import (
    BOTH,
    COLUMNS,
    FITS,
    LOCK,
    MESSAGE,
    NEWEST,
    OWN,
    OWN_ROWS,
    SAME_ID,
    SharedSql,
    find,
    placeholders,
    with_guard,
)
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
    Statements,
    are_plain,
    as_stored_message,
    ordered_window,
)
from convstore.models import Kind
from convstore.windows import ALL, Reading

# All messages of a request; {rows} stands for them, {keys} for their keys.
ADD = f"""
INSERT INTO {MESSAGE}
  {COLUMNS}
SELECT %(key)s, COALESCE(({NEWEST}), 0) + n, role, body, request_key, %(fingerprint)s, %(now)s,
  size, tokens, {Kind.MESSAGE.value}, words
FROM (VALUES {{rows}}) AS new (n, role, body, request_key, size, tokens, words)
WHERE {SAME_ID} AND NOT EXISTS (SELECT 1 FROM {OWN_ROWS}) AND {FITS}"""
GUARDED_READ_OWN = with_guard(BOTH, OWN)
ROW = (
    "({n} + 1, %(role_{n})s, %(body_{n})s, %(request_key_{n})s, %(size_{n})s, %(tokens_{n})s::int,"
    " %(words_{n})s::text)"
)

# The functions of migrations 0005 and 0009. Text travels in binary form, which needs no escapes.
# psycopg takes long over a list, so the one message of most requests is sent as values.
CALL_EXCHANGE = """SELECT * FROM convstore_exchange_v2(%b::uuid, %b::text, %b::timestamptz,
  %b::int, %s::jsonb, %b::uuid, {}, {}, NULL, {})"""
ONE = "ARRAY[%b::text], ARRAY[%b::text], ARRAY[%b::uuid], ARRAY[%b::int]"
ADD_ONE = CALL_EXCHANGE.format(ONE, "NULL", "NULL")
ADD_ONE_WITH_WORDS = CALL_EXCHANGE.format(ONE, "NULL", "ARRAY[%b::text]")
ADD_SEVERAL = CALL_EXCHANGE.format(
    "%b::text[], %b::text[], %b::uuid[], %b::int[]", "%b::int[]", "%b::text[]"
)
CALL_WINDOW = "SELECT * FROM convstore_window_v1(%b::uuid, %b::text, %s::jsonb)"
# The function of migration 0007, which adds up no sizes. It leaves out each body that is larger
# than its share of the limit on replies; then CALL_WINDOW reads the window again. That has to be
# rare: with so many messages that a share has fewer bytes than this, it is called at once.
CALL_PLAIN_WINDOW = """SELECT * FROM convstore_plain_window_v1(
  %b::uuid, %b::text, %b::bigint, %b::bigint)"""
LEAST_SHARE = 256 * 1024
# What a function that did nothing says where it must not serve; see the migration.
USE_THE_BATCH = "use the batch"
NO_ANSWER = (None, USE_THE_BATCH, None)
# What a function that did nothing says where the window may be over a limit.
MEASURE_FIRST = "measure first"
# Which process of the server answers, too.
ASK = f"SELECT ({MAY_CALL_FUNCTIONS}), pg_backend_pid()"
# psycopg prepares a statement that was sent more often, or where it is told to: ours only.
NEVER = 2**31 - 1
# A cursor holds its last result; one that holds more characters than this is not kept.
KEPT_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class PostgresBatch(SharedSql):
    """One round trip.

    PostgreSQL runs the statements as one implicit transaction in which each has its own
    snapshot. The lock is held only while the server works, so no client can stall another.
    """

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        if not (reading.is_plain and are_plain(new)):
            return self.portable.exchange(conversation, new, reading)
        count = len(new)
        rows = ", ".join(ROW.format(n=n) for n in range(count))
        statements = [
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL lock_timeout = '{conversation.milliseconds_left()}ms'",
            LOCK,
            ADD.format(rows=rows, keys=placeholders(count)),
            find(count),
            GUARDED_READ_OWN,
        ]
        return self.run_batch(statements, conversation, new, reading)


@dataclass(frozen=True, slots=True)
class PostgresFunctions:
    """One call of a function. Where that cannot serve, it has done nothing, and `batch` runs."""

    using: str
    batch: Statements

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        if not are_plain(new) or reading.items == ALL:
            return PortableOrm(self.using).exchange(conversation, new, reading)
        statement, values = _exchange_call(new)
        reply = self._call(
            reading,
            statement,
            conversation.key,
            conversation.memory_id,
            conversation.now,
            conversation.milliseconds_left(),
            reading.json,
            new[0].fingerprint,
            *values,
        )
        return reply if isinstance(reply, Reply) else reply.exchange(conversation, new, reading)

    def window(self, conversation: ConversationRef, reading: Reading) -> Reply:
        identity = conversation.key, conversation.memory_id
        if reading.items == ALL:
            return PortableOrm(self.using).window(conversation, reading)
        share = reading.max_bytes // reading.size
        if reading.is_plain and share >= LEAST_SHARE:
            rows = self._rows(CALL_PLAIN_WINDOW, *identity, reading.size, share)
            if None not in [body for _, _, body in rows]:
                rows.reverse()
                return Reply(Outcome.DONE, rows=list(map(as_stored_message, rows)))
        reply = self._call(reading, CALL_WINDOW, *identity, reading.json)
        return reply if isinstance(reply, Reply) else reply.window(conversation, reading)

    def _call(self, reading: Reading, statement: str, *arguments: Any) -> Reply | Statements:
        """The function's reply; where it cannot serve, the variant that does."""
        (last, outcome, _), *window = self._rows(statement, *arguments)
        if outcome == USE_THE_BATCH:
            return self.batch
        # A function takes a request of which a part was deleted for one whose key was reused.
        if outcome in (MEASURE_FIRST, Outcome.KEY_REUSED):
            return PortableOrm(self.using)
        window.reverse()
        return Reply(
            Outcome(outcome), last, ordered_window(list(map(as_stored_message, window)), reading)
        )

    def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        """The function's rows, or one that says USE_THE_BATCH."""
        connection: Any = connections[self.using]
        # What the function sets lasts until the transaction ends, which has to be its own.
        if not connection.autocommit:
            return [NO_ANSWER]
        session = session_of(connection)
        try:
            rows = session.rows(connection, statement, arguments)
        except Error as error:
            # Since the connection was asked, the function was dropped, its schema renamed, or
            # its use forbidden. The batch finds out what is missing.
            if not (error_code(error.__cause__) or "").startswith("42"):
                raise
            rows = [NO_ANSWER]
        if NO_ANSWER in rows[:1]:
            session.has_functions = False
        return rows


def _exchange_call(new: Sequence[NewMessage]) -> tuple[str, Iterable[Any]]:
    """The statement that calls the function for these messages, and the values in it."""
    first = new[0]
    if len(new) > 1 or first.tokens is not None:
        messages = [(m.role, m.body, m.request_key, m.size, m.tokens, m.words) for m in new]
        return ADD_SEVERAL, map(list, zip(*messages, strict=True))
    values = (first.role, first.body, first.request_key, first.size)
    return (
        (ADD_ONE, values) if first.words is None else (ADD_ONE_WITH_WORDS, (*values, first.words))
    )


class Session:
    """What is known of a connection to the server, and the cursors that are kept on it.

    `is_direct`: there is no pooler in between that may give the next statement to another
    process of the server, which knows no prepared statements of this one.
    """

    def __init__(self, connection: Any) -> None:
        driver = connection.connection
        with connection.wrap_database_errors:
            ((self.has_functions, process),) = psycopg.Cursor(driver).execute(ASK).fetchall()
        self.is_direct = process == driver.info.backend_pid
        if driver.prepare_threshold is None:
            driver.prepare_threshold = NEVER
        self._cursors: dict[str, psycopg.Cursor[Any]] = {}

    def rows(self, connection: Any, statement: str, arguments: Sequence[Any]) -> list[Any]:
        """The rows of a statement. Django's cursor costs more, and serves those who watch it."""
        if connection.execute_wrappers or connection.queries_logged:
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments)
                return list(cursor.fetchall())
        with connection.wrap_database_errors:
            try:
                return self._rows(connection.connection, statement, arguments)
            except psycopg.errors.InvalidSqlStatementName:
                self.is_direct = False  # or somebody has deallocated all
                return self._rows(connection.connection, statement, arguments)

    def _rows(self, driver: Any, statement: str, arguments: Sequence[Any]) -> list[Any]:
        # A cursor that meets its last statement again knows the types of its values.
        cursor = self._cursors.pop(statement, None) or psycopg.Cursor(driver)
        rows = cursor.execute(statement, arguments, prepare=self.is_direct).fetchall()
        if sum(len(row[2] or "") for row in rows) <= KEPT_CHARACTERS:
            self._cursors[statement] = cursor
        return rows


def session_of(connection: Any) -> Session:
    """The session of Django's connection, which is asked about once, however it is pooled."""
    connection.ensure_connection()
    driver = connection.connection
    if not hasattr(driver, "convstore_session"):
        driver.convstore_session = Session(connection)
    session: Session = driver.convstore_session
    return session
