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
from functools import lru_cache
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, Error, connections

from convstore.conf import database_timeout, max_reply_bytes, max_window, truncates_replies
from convstore.database.connection import open_connection
from convstore.database.fault import BUSY, Fault
from convstore.database.faults import classify
from convstore.errors import (
    IdentityClash,
    MessageTooLarge,
    RequestKeyReused,
    Unavailable,
    WindowTooLarge,
    WrongPosition,
)
from convstore.exchange.statements import (
    ConversationRef,
    NewMessage,
    Outcome,
    Reply,
    Statements,
    Window,
)
from convstore.exchange.variants import statements_for
from convstore.messages import MAX_NAME_CHARACTERS, Message, is_utf8
from convstore.request_log import current_record
from convstore.windows import Reading, WindowOptions

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
        return self._exchange(memory_id, messages, 1, None, None).last

    def window(self, memory_id: str, window: int | WindowOptions) -> Window:
        """The window of at most so many messages, oldest first; [] for an unknown id.

        It is the last `window` messages. If the conversation's first message has the role system
        or developer and is older than those, and `window` is at least 2, the window is that
        message and the last `window` - 1. WindowOptions asks for other windows. Raises
        Unavailable and WindowTooLarge.
        """
        conversation, reading = _conversation_ref(memory_id), reading_of(window)
        return _window(self._run(lambda statements: statements.window(conversation, reading)))

    def exchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        window: int | WindowOptions,
        request_key: UUID | None = None,
        expected_position: int | None = None,
    ) -> Window:
        """Add messages (at least one), all or none; returns the window that ends in them.

        A second call with the same `request_key`, messages and window adds nothing and returns
        what the first one returned, without what was erased since, and without what MAX_REPLY_BYTES
        and MAX_WINDOW do not allow any more. By default each call has a key of its own. With
        `expected_position`, it adds only if that is the conversation's highest position.

        Raises Unavailable, after which the messages may or may not be stored: call again
        with the same `request_key`, which is safe. Raises MessageTooLarge, WindowTooLarge,
        WrongPosition, RequestKeyReused and IdentityClash, after which nothing is stored. Raises
        RuntimeError inside `transaction.atomic()`.
        """
        return _window(self._exchange(memory_id, messages, window, request_key, expected_position))

    def _exchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        window: int | WindowOptions,
        request_key: UUID | None,
        expected_position: int | None,
    ) -> Reply:
        if not messages:
            raise ValueError("an exchange adds at least one message; use window() to read")
        if connections[self.using].in_atomic_block:
            raise RuntimeError(
                "an exchange inside transaction.atomic() would return before its COMMIT:"
                " call it outside of atomic() and without ATOMIC_REQUESTS"
            )
        conversation, reading = _conversation_ref(memory_id), reading_of(window, expected_position)
        # The keys are made before the first try, so that a retry finds what an earlier try
        # stored, even if the answer to its COMMIT was lost.
        new = _new_messages(messages, request_key or uuid.uuid4())
        _refuse_too_large(new, reading.max_bytes)
        current_record().bytes_stored = sum(message.size for message in new)
        return self._run(lambda statements: statements.exchange(conversation, new, reading))

    async def aappend(self, memory_id: str, messages: Sequence[Message]) -> int:
        """`append` for asynchronous code; it runs in a thread, as Django's ORM does."""
        return await sync_to_async(self.append)(memory_id, messages)

    async def awindow(self, memory_id: str, window: int | WindowOptions) -> Window:
        """`window` for asynchronous code; it runs in a thread, as Django's ORM does."""
        return await sync_to_async(self.window)(memory_id, window)

    async def aexchange(
        self,
        memory_id: str,
        messages: Sequence[Message],
        window: int | WindowOptions,
        request_key: UUID | None = None,
        expected_position: int | None = None,
    ) -> Window:
        """`exchange` for asynchronous code; it runs in a thread, as Django's ORM does."""
        return await sync_to_async(self.exchange)(
            memory_id, messages, window, request_key, expected_position
        )

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
        case Outcome.WRONG_POSITION:
            raise WrongPosition(
                f"the conversation's highest position is {reply.last}, which is not the expected"
                " one; read the window, and send the request with the position that it ends in",
                reply.last,
            )
        case Outcome.TOO_LARGE:
            size = reply.fitting_size
            raise WindowTooLarge(
                f"the window is over the limit of {max_reply_bytes()} bytes or of {max_window()}"
                " messages in a reply; "
                + (f"a window_size of {size} would fit" if size else "no window_size would fit"),
                size,
            )
    return reply


def _window(reply: Reply) -> Window:
    window = Window(reply.rows)
    if reply.truncated:
        window.truncated = True
    return window


def reading_of(window: int | WindowOptions, expected_position: int | None = None) -> Reading:
    """What a transaction reads, with the limits that the settings have now."""
    limits = (max_reply_bytes(), max_window(), truncates_replies())
    return _reading_of(window, *limits, expected_position)


# To make one anew for each request would take a few percent of a read.
@lru_cache(maxsize=100)
def _reading_of(
    window: int | WindowOptions,
    max_bytes: int,
    max_messages: int,
    truncate: bool,
    expected_position: int | None,
) -> Reading:
    options = WindowOptions(window) if isinstance(window, int) else window
    limits = (max_bytes, max_messages, truncate, expected_position)
    return Reading(options.size, options.unit, options.tokens, *limits)


def _refuse_too_large(new: Sequence[NewMessage], max_bytes: int) -> None:
    """Refuse a message that no window could hold."""
    largest = max(message.size for message in new)
    if largest > max_bytes:
        raise MessageTooLarge(
            f"a message has {largest} bytes; the limit is {max_bytes}, which is the largest reply"
        )


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
            tokens=message.tokens,
        )
        for n, (message, body) in enumerate(zip(messages, bodies, strict=True))
    ]


def _role_column(role: str) -> str:
    """The role as a column can hold it; the body holds it as it came."""
    text = role if is_utf8(role) else role.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_NAME_CHARACTERS]
