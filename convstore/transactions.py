"""One transaction: tried again while that may help, and its outcome as a reply or an error."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error

from convstore.conf import database_timeout, max_reply_bytes, max_window
from convstore.database.connection import (
    open_connection,
    seconds_without_writes,
    settle_connections,
)
from convstore.database.fault import BUSY, Fault
from convstore.database.faults import classify
from convstore.errors import (
    ConversationExists,
    DuplicateItem,
    IdentityClash,
    RequestKeyReused,
    Unavailable,
    WindowTooLarge,
    WrongPosition,
)
from convstore.exchange.statements import Outcome, Reply
from convstore.tracing import transaction_span
from convstore.windows import Limit

# The pause between two tries of a transaction is random. Its upper limit, in seconds, begins
# with the first of these, doubles with each try, and ends at the second.
FIRST_LIMIT, LAST_LIMIT = 0.01, 0.5
# Long enough to open a new connection, for those who do not wait for DATABASE_TIMEOUT.
SHORT_SECONDS = 0.5


Result = TypeVar("Result")


def ignore_call(seconds: float, retries: int) -> None:
    """The observer of transactions that nobody measures."""


def run_transaction(
    using: str,
    work: Callable[[], Result],
    observe: Callable[[float, int], None],
    seconds: float | None = None,
) -> Result:
    """The result of `work`, tried again within `seconds` if that may help.

    By default that is DATABASE_TIMEOUT, or less while no server takes writes. Raises the store's
    errors. `observe` is called at the end, with the seconds and the retries.
    """
    begun, retries = time.monotonic(), 0
    try:
        while True:
            try:
                return _run_once(using, work)
            except _Retry as retry:
                limit = _patience(using) if seconds is None else seconds
                pause = min(FIRST_LIMIT * 2**retries, LAST_LIMIT)
                if time.monotonic() + pause > begun + limit:
                    fault = retry.fault
                    raise fault.error_class(fault.sentence) from retry.__cause__
            time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
            retries += 1
    finally:
        observe(time.monotonic() - begun, retries)


def _patience(using: str) -> float:
    """DATABASE_TIMEOUT; less where no server has taken writes for longer than that.

    A thread that waits for one is missing where others read.
    """
    seconds = database_timeout()
    is_long = seconds_without_writes(using) > seconds
    return min(seconds, SHORT_SECONDS) if is_long else seconds


class _Retry(Exception):
    """One try failed with `fault`; the next one may succeed."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def _run_once(using: str, work: Callable[[], Result]) -> Result:
    """The result of one try. Raises _Retry if another try may succeed."""
    connection = open_connection(using)
    # Django would test the connection before its first use, which is one more round trip.
    # Without the test, a dead connection fails in use and the retry opens a new one.
    connection.health_check_done = True
    try:
        with transaction_span(connection):
            return work()
    except TimeoutError as error:
        raise Unavailable(BUSY.sentence) from error
    # Django passes a few errors on as the driver raised them.
    except (Error, connection.Database.Error) as error:
        fault = classify(using, error)
        settle_connections(using, fault)
        if fault is None:
            raise
        raise (_Retry(fault) if fault.retry else fault.error_class(fault.sentence)) from error
    finally:
        # Django keeps the error of a row that it could not save, and with it a request's body.
        connection.rollback_exc = None


def done(reply: Reply) -> Reply:
    """The reply, if its outcome is DONE; any other outcome is raised, inside `run_transaction`."""
    match reply.outcome:
        case Outcome.KEY_REUSED:
            raise RequestKeyReused(
                "this idempotency key came before with other content in this conversation;"
                " nothing was stored now; use a new key for each new request"
            )
        case Outcome.ID_CLASH:
            raise IdentityClash(
                "the database's row of this conversation has another memory_id, so nothing was"
                " stored; correct that row"
            )
        case Outcome.NOT_STORED | Outcome.ERASED_MEANWHILE:
            raise _Retry(BUSY)
        case Outcome.DUPLICATE_ID:
            raise DuplicateItem(
                "the conversation has an item with the id of one of these, or had one that was"
                " deleted; nothing was stored; send items with new ids, or without"
            )
        case Outcome.EXISTS:
            raise ConversationExists(
                "there is a conversation with this id; nothing was stored; add to it, or create"
                " one with another id"
            )
        case Outcome.WRONG_POSITION:
            raise WrongPosition(
                f"the conversation's highest position is {reply.last}, which is not the expected"
                " one; read the window, and send the request with the position that it ends in",
                reply.last,
            )
        case Outcome.TOO_LARGE:
            raise _window_too_large(reply.limit, reply.fitting_size)
    return reply


def _window_too_large(limit: Limit, size: int) -> WindowTooLarge:
    over = f"{max_reply_bytes()} bytes (MAX_REPLY_BYTES)"
    if limit == Limit.MESSAGES:
        over = f"{max_window()} messages (MAX_WINDOW)"
    fits = f"a window_size of {size} would fit"
    if not size:
        fits = (
            "no window_size would fit: the newest message alone, or in tool pairs the newest call"
            " with its answers, is too large"
        )
    return WindowTooLarge(f"the window is over the limit on a reply, {over}; {fits}", size)
