"""One line in the log for each request, whichever door it came through.

It has neither content nor a memory_id: it names a conversation by the key of its row.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
# A client's request id is used only if it cannot be mistaken for other parts of a line.
SAFE_REQUEST_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
# Values that need no quotes.
PLAIN_VALUE = re.compile(r"[\w.:/<>-]+", re.ASCII)
# Probes ask every few seconds, and a page for many files: lines of these would hide the others.
ASKED_OFTEN = {"/v2/health/live", "/v2/health/ready", "/metrics", "/admin-static/"}

# As JSON, with all that is not printable ASCII escaped, and so on one line.
quoted = json.JSONEncoder().encode

Value = str | int | float


@dataclass(slots=True)
class RequestRecord:
    """What is known of a request; the doors and the contract fill it in. None is not known."""

    door: str = ""
    request_id: str = ""
    client: str | None = None
    key: str | None = None
    method: str | None = None
    route: str | None = None
    memory: str | None = None
    version: str | None = None
    conversation: uuid.UUID | None = None
    status: int | None = None
    begun: float = field(default_factory=time.monotonic)
    queue_seconds: float | None = None
    database_seconds: float | None = None
    retries: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    stored: int | None = None
    bytes_stored: int | None = None
    window: int | None = None
    read_from: str | None = None
    error: str | None = None
    seconds: float = 0.0
    # Where requests are traced: the span that what happens now belongs to, and what ends the last.
    trace_id: str | None = None
    span: Any = None
    at_end: Callable[[RequestRecord], None] | None = None

    def add_database_call(self, seconds: float, retries: int) -> None:
        self.database_seconds = (self.database_seconds or 0) + seconds
        self.retries = (self.retries or 0) + retries

    def write(self) -> None:
        """Write the line, now that the request is answered."""
        is_quiet = self.route in ASKED_OFTEN and (self.status or 0) < 400
        level = logging.DEBUG if is_quiet else logging.INFO
        if logger.isEnabledFor(level):
            self.seconds = time.monotonic() - self.begun
            # `logger.log` would look for the line of code that logs, which takes time.
            logger.handle(logging.LogRecord(logger.name, level, "", 0, self, (), None))
        if self.at_end:
            self.at_end(self)

    def fields(self) -> dict[str, Value]:
        """The line's fields, in order."""
        known = {
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "door": self.door,
            "client": self.client,
            "key": self.key,
            "method": self.method,
            "route": self.route,
            "memory": self.memory,
            "version": self.version,
            "conversation": None if self.conversation is None else str(self.conversation),
            "status": self.status,
            "ms": _milliseconds(self.seconds),
            "queue_ms": _milliseconds(self.queue_seconds),
            "database_ms": _milliseconds(self.database_seconds),
            "retries": self.retries,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "stored": self.stored,
            "bytes_stored": self.bytes_stored,
            "window": self.window,
            "read_from": self.read_from,
            "error": self.error,
        }
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        fields = self.fields()
        for name, value in fields.items():
            if isinstance(value, str) and not PLAIN_VALUE.fullmatch(value):
                fields[name] = quoted(value)
        return " ".join([f"{name}={value}" for name, value in fields.items()])


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def is_written() -> bool:
    """Whether the log has a line for each request."""
    return logger.isEnabledFor(logging.INFO)


# --- The request that is served ----------------------------------------------------------

# Of this thread or task. Where there is none, what is noted goes nowhere.
_current: ContextVar[RequestRecord | None] = ContextVar("record", default=None)


def begin_record(door: str, sent_id: str | None) -> RequestRecord:
    """The record of a request that begins now, from now on the current one."""
    record = RequestRecord(door, request_id_for(sent_id))
    _current.set(record)
    return record


def end_record() -> None:
    """What is logged here from now on is about no request."""
    _current.set(None)


def current_record() -> RequestRecord:
    """The record of the request that is served here; a new one, which nobody reads, if none is."""
    return _current.get() or RequestRecord()


def request_id_for(sent: str | None) -> str:
    """The id that a client sent, if it is well-formed; else a new one."""
    return sent if sent and SAFE_REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())
