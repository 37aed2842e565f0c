"""ConversationStore: append, window, exchange. The only door to the data.

An exchange is atomic and in order, exact under any number of writers, costs the same
whatever the length of the conversation, and is on disk once it has answered.
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
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections

from convstore.database import faults
from convstore.errors import IdentityClash, Unavailable
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.shared_sql import MySqlBatch, PostgresBatch, SqliteInProcess
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Statements,
    StoredMessage,
    pinned_window,
)
from convstore.messages import Message, is_utf8

Answer = TypeVar("Answer")

# The first and the longest pause between two tries of a transaction, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.5


def statements_for(using: str) -> Statements:
    """The fastest variant that the connection `using` can run."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        return SqliteInProcess(using)
    # Server-side binding takes one statement at a time; the batch needs several.
    features: Any = connection.features
    if connection.vendor == "postgresql" and not features.uses_server_side_binding:
        return PostgresBatch(using)
    if connection.vendor == "mysql":
        return MySqlBatch(using)
    return PortableOrm(using)


def unobserved(seconds: float, retries: int) -> None:
    """Nobody is told how long the database took."""


@dataclass(frozen=True, slots=True)
class ConversationStore:
    """The conversations of one database, `using` being its alias in Django's `connections`.

    `variant` picks how statements are run; by default the fastest that the database has.
    `observe` is told of each call to the database: its seconds, and how often it was run again.
    Not to be used inside `transaction.atomic()`: an answer would precede its COMMIT.
    """

    using: str = DEFAULT_DB_ALIAS
    variant: Callable[[str], Statements] = statements_for
    observe: Callable[[float, int], None] = field(default=unobserved, compare=False)

    def append(self, memory_id: str, messages: Sequence[Message]) -> int:
        """Add messages, all or none; the position of the last. Raises as `exchange` does."""
        return self.exchange(memory_id, messages, 1)[-1].position

    def window(self, memory_id: str, size: int) -> list[StoredMessage]:
        """The window of at most `size` (>= 1) messages, oldest first; [] for an unknown id.

        It is the last `size` messages; when the first message has the role system or
        developer, `size` >= 2 and it is older than those, it comes first and the last
        `size` - 1 follow. Raises Unavailable.
        """
        to = _address(memory_id)
        rows = self._tried(lambda statements: statements.window(to, size))
        return pinned_window(rows, size)

    def exchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        size: int,
        request_key: UUID | None = None,
    ) -> list[StoredMessage]:
        """Add messages (at least one), all or none, and answer with the window that ends in them.

        A second call with the same `request_key` adds nothing and answers as the first did;
        by default each call has a key of its own. Raises Unavailable, after which the
        messages are stored or not: only a call with the same key can tell, and is safe.
        Raises IdentityClash, and MessageTooLarge, after which nothing was added.
        """
        if not messages:
            raise ValueError("an exchange adds at least one message; window only reads")
        to = _address(memory_id)
        new = _new_messages(messages, request_key or uuid.uuid4())
        # The keys are made once: a try whose COMMIT succeeded unheard is found by the next.
        rows = self._tried(lambda statements: statements.exchange(to, new, size))
        if not rows:
            raise IdentityClash("this memory_id has the key of another conversation")
        return pinned_window(rows, size)

    def check(self) -> None:
        """Ask the database whether it can serve at all. Raises Unavailable."""
        try:
            replace(self, observe=unobserved).window("", 1)
        except Error as error:
            raise Unavailable("the database's tables are not those of this version") from error

    def _tried(self, work: Callable[[Statements], Answer]) -> Answer:
        """The answer of one whole transaction, tried again while that may help."""
        begun, retries = time.monotonic(), 0
        try:
            while True:
                try:
                    return self._once(work)
                except _Again as again:
                    pause = min(SHORTEST_PAUSE * 2**retries, LONGEST_PAUSE)
                    if time.monotonic() + pause > begun + settings.DATABASE_TIMEOUT:
                        raise again.fault.reason(again.fault.says) from again.__cause__
                time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
                retries += 1
        finally:
            self.observe(time.monotonic() - begun, retries)

    def _once(self, work: Callable[[Statements], Answer]) -> Answer:
        """The answer of one try. Raises _Again where another may succeed."""
        connection: Any = connections[self.using]
        try:
            connection.ensure_connection()
        except Error as error:
            raise Unavailable("the database cannot be reached") from error
        # A dead connection is found out by using it, and all is repeated on a new one:
        # Django's check of it beforehand would be a round trip more.
        connection.health_check_done = True
        try:
            return work(self.variant(self.using))
        except TimeoutError as error:
            raise Unavailable(faults.BUSY.says) from error
        # Django lets a few errors through as the driver raised them.
        except (Error, connection.Database.Error) as error:
            fault = faults.classify(connection.vendor, error)
            lost = fault is not None and fault.connection_lost
            if lost or not connection.autocommit:  # or left inside the transaction
                with suppress(Error, connection.Database.Error):
                    connection.close()
            if fault is None:
                raise
            raise (_Again(fault) if fault.again else fault.reason(fault.says)) from error


class _Again(Exception):
    """One try failed with `fault`, and the next may not."""

    def __init__(self, fault: faults.Fault) -> None:
        self.fault = fault


def conversation_key(memory_id: str) -> UUID:
    """The primary key of a conversation: a UUID (version 8) from the id's SHA-256.

    121 bits of the hash, and the version and variant that make it a UUID: MariaDB's type
    refuses a quarter of hashes as they are, and of version 8 those whose ninth byte is 80.
    """
    bits = int.from_bytes(hashlib.sha256(memory_id.encode()).digest()[:16])
    bits = bits & ~(0xF << 76) | (8 << 76)
    bits = bits & ~(0b111 << 61) | (0b101 << 61)
    return UUID(int=bits)


def _address(memory_id: str) -> ConversationRef:
    return ConversationRef(conversation_key(memory_id), memory_id, datetime.now(UTC))


def _new_messages(messages: Sequence[Message], request_key: UUID) -> list[NewMessage]:
    """The rows of one request: each with a key of its own, all with the request's fingerprint."""
    bodies = [message.to_json() for message in messages]
    digest = hashlib.sha256("\n".join(bodies).encode()).digest()
    return [
        NewMessage(
            role=_column(message.role),
            body=body,
            # The first message has the request's key itself, the next ones derive theirs.
            request_key=uuid.uuid5(request_key, str(n)) if n else request_key,
            fingerprint=UUID(bytes=digest[:16], version=4),
        )
        for n, (message, body) in enumerate(zip(messages, bodies, strict=True))
    ]


def _column(role: str) -> str:
    """The role as far as a column can hold it; the body has it as it came."""
    text = role if is_utf8(role) else role.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:255]
