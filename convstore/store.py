"""ConversationStore: append, window, exchange. The only writer of messages.

An exchange is atomic and in order, is exact under any number of writers, costs the same
whatever the length of the conversation, and is on disk once it has returned.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, Error, connections

from convstore.conf import database_timeout
from convstore.database.connection import open_connection
from convstore.database.fault import BUSY, Fault
from convstore.database.faults import classify
from convstore.errors import IdentityClash, RequestKeyReused, Unavailable
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
    Statements,
    StoredMessage,
)
from convstore.exchange.variants import statements_for
from convstore.messages import MAX_NAME_CHARACTERS, Message, is_utf8

# The pause between two tries of a transaction is random. Its upper limit, in seconds, begins
# with the first of these, doubles with each try, and ends at the second.
FIRST_LIMIT, LAST_LIMIT = 0.01, 0.5


def ignore_call(seconds: float, retries: int) -> None:
    """The observer of a store that nobody measures."""


@dataclass(frozen=True, slots=True)
class ConversationStore:
    """The conversations of one database, `using` being its alias in Django's `connections`.

    `variant` picks how statements run; by default the fastest that the database can run.
    `observe` is called after each call to the database with its seconds and its retries.
    """

    using: str = DEFAULT_DB_ALIAS
    variant: Callable[[str], Statements] = statements_for
    observe: Callable[[float, int], None] = field(default=ignore_call, compare=False)

    def append(self, memory_id: str, messages: Sequence[Message]) -> int:
        """Add messages, all or none; returns the last one's position. Raises as `exchange`."""
        return self._exchange(memory_id, messages, 1, None).last

    def window(self, memory_id: str, size: int) -> list[StoredMessage]:
        """The window of at most `size` (>= 1) messages, oldest first; [] for an unknown id.

        It is the last `size` messages. If the conversation's first message has the role
        system or developer and is older than those, and `size` is at least 2, the window is
        that message and the last `size` - 1. Raises Unavailable.
        """
        conversation = _conversation_ref(memory_id)
        reply = self._run(lambda statements: statements.window(conversation, size))
        return list(reply.rows)

    def exchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        size: int,
        request_key: UUID | None = None,
    ) -> list[StoredMessage]:
        """Add messages (at least one), all or none; returns the window that ends in them.

        A second call with the same `request_key`, messages and size adds nothing and returns what
        the first one returned, without what was erased since. By default each call has a key of
        its own.

        Raises Unavailable, after which the messages may or may not be stored: call again
        with the same `request_key`, which is safe. Raises MessageTooLarge, RequestKeyReused and
        IdentityClash, after which nothing is stored. Raises RuntimeError inside
        `transaction.atomic()`.
        """
        return list(self._exchange(memory_id, messages, size, request_key).rows)

    def _exchange(
        self, memory_id: str, messages: Sequence[Message], size: int, request_key: UUID | None
    ) -> Reply:
        if not messages:
            raise ValueError("an exchange adds at least one message; use window() to read")
        if connections[self.using].in_atomic_block:
            raise RuntimeError(
                "an exchange inside transaction.atomic() would return before its COMMIT:"
                " call it outside of atomic() and without ATOMIC_REQUESTS"
            )
        conversation = _conversation_ref(memory_id)
        # The keys are made before the first try, so that a retry finds what an earlier try
        # stored, even if the answer to its COMMIT was lost.
        new = _new_messages(messages, request_key or uuid.uuid4())
        return self._run(lambda statements: statements.exchange(conversation, new, size))

    async def aappend(self, memory_id: str, messages: Sequence[Message]) -> int:
        """`append` for asynchronous code; it runs in a thread, as Django's ORM does."""
        return await sync_to_async(self.append)(memory_id, messages)

    async def awindow(self, memory_id: str, size: int) -> list[StoredMessage]:
        """`window` for asynchronous code; it runs in a thread, as Django's ORM does."""
        return await sync_to_async(self.window)(memory_id, size)

    async def aexchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        size: int,
        request_key: UUID | None = None,
    ) -> list[StoredMessage]:
        """`exchange` for asynchronous code; it runs in a thread, as Django's ORM does."""
        return await sync_to_async(self.exchange)(memory_id, messages, size, request_key)

    def check(self) -> None:
        """Ask the database whether it can serve. Raises Unavailable."""
        try:
            replace(self, observe=ignore_call).window("", 1)
        except Error as error:
            raise Unavailable(
                "the database's tables are not those of this version: run 'convstore"
                " migrate_memories'"
            ) from error

    def _run(self, work: Callable[[Statements], Reply]) -> Reply:
        """The reply of one transaction, tried again within DATABASE_TIMEOUT if that may help."""
        begun, retries = time.monotonic(), 0
        try:
            while True:
                try:
                    return self._run_once(work)
                except _Retry as retry:
                    pause = min(FIRST_LIMIT * 2**retries, LAST_LIMIT)
                    if time.monotonic() + pause > begun + database_timeout():
                        fault = retry.fault
                        raise fault.error_class(fault.sentence) from retry.__cause__
                time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
                retries += 1
        finally:
            self.observe(time.monotonic() - begun, retries)

    def _run_once(self, work: Callable[[Statements], Reply]) -> Reply:
        """The reply of one try. Raises _Retry if another try may succeed."""
        connection = open_connection(self.using)
        # Django would test the connection before its first use, which is one more round trip.
        # Without the test, a dead connection fails in use and the retry opens a new one.
        connection.health_check_done = True
        try:
            return _done(work(self.variant(self.using)))
        except TimeoutError as error:
            raise Unavailable(BUSY.sentence) from error
        # Django passes a few errors on as the driver raised them.
        except (Error, connection.Database.Error) as error:
            fault = classify(self.using, error)
            lost = fault is not None and fault.connection_lost
            if lost or not connection.autocommit:  # or still inside the transaction
                with suppress(Error, connection.Database.Error):
                    connection.close()
            if fault is None:
                raise
            raise (_Retry(fault) if fault.retry else fault.error_class(fault.sentence)) from error


class _Retry(Exception):
    """One try failed with `fault`; the next one may succeed."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def _done(reply: Reply) -> Reply:
    """The reply, if its outcome is DONE; any other outcome is raised."""
    match reply.outcome:
        case Outcome.KEY_REUSED:
            raise RequestKeyReused(
                "this idempotency key came before with another message in this conversation;"
                " nothing was stored now; use a new key for each new request"
            )
        case Outcome.ID_CLASH:
            raise IdentityClash(
                "the database's row of this conversation has another memory_id, so nothing was"
                " stored; correct that row"
            )
        case Outcome.NOT_STORED:
            raise _Retry(BUSY)
    return reply


def conversation_key(memory_id: str) -> UUID:
    """The primary key of a conversation: a UUID (version 8) from the id's SHA-256.

    It has 121 bits of the hash. The other seven are fixed: MariaDB's UUID type accepts only
    a part of all 128-bit values, and of version 8 it refuses those whose ninth byte is 0x80.
    """
    bits = int.from_bytes(hashlib.sha256(memory_id.encode()).digest()[:16])
    bits = bits & ~(0xF << 76) | (8 << 76)
    bits = bits & ~(0b111 << 61) | (0b101 << 61)
    return UUID(int=bits)


def _conversation_ref(memory_id: str) -> ConversationRef:
    return ConversationRef(conversation_key(memory_id), memory_id, datetime.now(UTC))


def _new_messages(messages: Sequence[Message], request_key: UUID) -> list[NewMessage]:
    """The rows of one request, each with its own key and all with one fingerprint."""
    bodies = [message.to_json() for message in messages]
    encoded = [body.encode() for body in bodies]
    digest = hashlib.sha256(b"\n".join(encoded)).digest()
    return [
        NewMessage(
            role=_role_column(message.role),
            body=body,
            # The first message has the request's key; the others derive theirs from it.
            request_key=uuid.uuid5(request_key, str(n)) if n else request_key,
            fingerprint=UUID(bytes=digest[:16], version=4),
            size=len(encoded[n]),
        )
        for n, (message, body) in enumerate(zip(messages, bodies, strict=True))
    ]


def _role_column(role: str) -> str:
    """The role as a column can hold it; the body holds it as it came."""
    text = role if is_utf8(role) else role.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_NAME_CHARACTERS]
