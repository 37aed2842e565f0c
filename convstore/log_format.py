"""How a line of the log looks, on a console or as JSON. No client can forge one."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

from convstore.request_log import RequestRecord, current_record, quoted

# Characters that begin a line, move a terminal's cursor, or reverse the direction of a text.
UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class LineFormatter(logging.Formatter):
    """Lines for people. A traceback stands under its line, indented, so it begins none."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        if not isinstance(record.msg, RequestRecord):  # whose values are quoted
            record.message = safe_message(record)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join("  " + escape_unsafe(line) for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line. A request's has its fields, any other a `message`."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname, "logger": record.name}
        if isinstance(record.msg, RequestRecord):
            return quoted(line | record.msg.fields())
        line["message"] = record.getMessage()
        if request_id := current_record().request_id:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return quoted(line)


def safe_message(record: logging.LogRecord) -> str:
    """The message on one line, with the id of the request that it is about."""
    message = escape_unsafe(record.getMessage())
    if isinstance(record.msg, RequestRecord) or not (request_id := current_record().request_id):
        return message
    return f"{message} request_id={request_id}"


def escape_unsafe(text: str) -> str:
    return UNSAFE.sub(lambda found: quoted(found[0])[1:-1], text)
