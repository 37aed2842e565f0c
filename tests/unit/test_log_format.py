"""Lines of the log, and what may come into them."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from convstore.log_format import JsonFormatter, LineFormatter
from convstore.request_log import RequestRecord

HOSTILE = 'a\nb\r\x1b[31m\x9b\x7f\u2028\u202e "q" \\ é \ud800'


def record_of(message: Any, *args: object, failed: bool = False) -> logging.LogRecord:
    raised = None
    if failed:
        try:
            int(HOSTILE)
        except ValueError:
            raised = sys.exc_info()
    return logging.LogRecord("name", logging.INFO, "here", 1, message, args, raised)


FORMATS = {"console": LineFormatter("%(name)s: %(message)s"), "json": JsonFormatter()}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("message", [HOSTILE, RequestRecord("http", "1", HOSTILE, error=HOSTILE)])
def test_whatever_a_client_sends_is_one_line(name, message):
    text = FORMATS[name].format(record_of(message))
    assert text.isprintable() or "\ud800" in text
    assert len(text.splitlines()) == 1


def test_a_traceback_begins_no_line_with_what_a_client_sent():
    first, *others = FORMATS["console"].format(record_of("failed", failed=True)).split("\n")
    assert first == "name: failed"
    assert all(line.startswith("  ") for line in others)
    assert "\x1b" not in "".join(others)


def test_json_holds_what_was_sent():
    line = json.loads(FORMATS["json"].format(record_of("%s", HOSTILE, failed=True)))
    assert line["message"] == HOSTILE
    assert "ValueError" in line["exception"]
    record = RequestRecord("http", "an-id", memory=HOSTILE, status=200, database_seconds=0.0123)
    line = json.loads(FORMATS["json"].format(record_of(record)))
    assert (line["memory"], line["status"], line["database_ms"]) == (HOSTILE, 200, 12.3)
