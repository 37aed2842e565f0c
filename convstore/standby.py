"""Reads from a standby, a copy of a database that takes no writes, or else from the primary.

A standby may be behind its primary, so it answers only readers who allow that. One that fails, or
is no copy of the primary, is passed over for a while: a failed connection may take seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from django.db import Error, connections
from django.db.migrations.recorder import MigrationRecorder

from convstore.conf import database_timeout
from convstore.database.connection import drop_connection, open_connection
from convstore.database.url import database_alias
from convstore.database.vendors import describe_database
from convstore.errors import Unavailable
from convstore.request_log import current_record

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# The most seconds that a standby has for an answer: the primary is there as well.
ANSWER_SECONDS = 2
# For how long one that failed is passed over. Then one reader of the process asks it again.
PASSED_OVER_SECONDS = 10
# The Django app whose migrations make the tables.
APP = "convstore"
# What a line of the log says of a request that a standby answered.
READ_FROM = "standby"

# The standbys that failed, and until when they are passed over.
_passed_over: dict[str, float] = {}
_guard = threading.Lock()
# What tells each primary's database, as far as this process has asked.
_known_marks: dict[str, object] = {}


class NotACopy(Exception):
    """A standby's database is not a copy of the primary's."""


# Why a standby is passed over.
FAILURES = (Unavailable, NotACopy, Error)


def standby_alias(url: str, options: Mapping[str, Any]) -> str:
    """The alias of a standby, as of a database; it has less time. Raises DatabaseUrlError."""
    return database_alias(url, options, timeout=min(ANSWER_SECONDS, database_timeout()))


def read_stale(standby: str | None, primary: str, read: Callable[[str], Result]) -> Result:
    """The result of `read` with the alias `standby`, or `primary` where that cannot answer."""
    if standby is not None and _is_asked(standby):
        try:
            require_copy(standby, primary)
            result = read(standby)
        # Django passes a few errors on as the driver raised them.
        except (*FAILURES, _driver_error(standby)) as error:
            _pass_over(standby, error)
        else:
            _note_answer(standby)
            current_record().read_from = READ_FROM
            return result
    return read(primary)


def _driver_error(using: str) -> type[Exception]:
    connection: Any = connections[using]
    error: type[Exception] = connection.Database.Error
    return error


def require_copy(standby: str, primary: str) -> None:
    """Raise NotACopy unless the standby's database is a copy of the primary's.

    Each connection is asked once: by another one, a name may lead to another server. Raises
    Unavailable and Django's errors, too.
    """
    connection = open_connection(standby)
    if getattr(connection.connection, "convstore_is_copy", False):
        return
    mark = _mark(standby)
    if mark != _known_marks.get(primary):
        _known_marks[primary] = _mark(primary)
    if mark is None or mark != _known_marks[primary]:
        raise NotACopy("its tables are not a copy of the primary's")
    with suppress(AttributeError):  # a driver whose connections keep none is asked each time
        connection.connection.convstore_is_copy = True


def reason_passed_over(standby: str, primary: str) -> str:
    """Why the standby cannot answer, as its driver says it; "" if it can."""
    try:
        require_copy(standby, primary)
    except FAILURES as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split())


def _mark(using: str) -> object:
    """When the tables were made: the same in each copy, and to the microsecond in no other."""
    applied = MigrationRecorder(connections[using]).migration_qs.filter(app=APP)
    return applied.order_by("id").values_list("name", "applied").first()


# --- Which standbys are passed over ------------------------------------------------------


def _is_asked(standby: str) -> bool:
    """Whether this reader asks it. After a failure, one reader does after each pause."""
    if standby not in _passed_over:
        return True
    with _guard:
        now = time.monotonic()
        is_due = now >= _passed_over.get(standby, now)
        if is_due:
            _passed_over[standby] = now + PASSED_OVER_SECONDS
        return is_due


def _pass_over(standby: str, error: Exception) -> None:
    with _guard:
        is_new = standby not in _passed_over
        _passed_over[standby] = time.monotonic() + PASSED_OVER_SECONDS
    if is_new:
        logger.warning(
            "standby %s is passed over, and asked again every %s s; the primary answers: %s",
            describe_database(standby),
            PASSED_OVER_SECONDS,
            _reason(error),
        )
    drop_connection(standby)


def _note_answer(standby: str) -> None:
    if standby in _passed_over and _passed_over.pop(standby, None) is not None:
        logger.warning("standby %s answers again", describe_database(standby))
