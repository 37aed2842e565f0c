"""Why a request is refused, one class per reason. Each door gives them their statuses.

RequestError
 ├── BadRequest      not V2, or not what a memory can act on
 ├── TooLarge        over a limit on bytes or parts
 └── UnknownMemory   no memory has this name and version

SettingsError        a model-settings.json that cannot be loaded
"""

from __future__ import annotations

import json
import logging
import re
import uuid

logger = logging.getLogger(__name__)

# A client's own request id that can stand in a log line.
HARMLESS_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
LONGEST_WORD = 60


class RequestError(Exception):
    """Base of the reasons. The text is one sentence that says what came and what is wanted."""


class BadRequest(RequestError):
    """The document, a tensor or a parameter is missing, doubled or of the wrong form."""


class TooLarge(RequestError):
    """The body, the inflated body or the number of parts is over its limit."""


class UnknownMemory(RequestError):
    """There is no memory of this name, or not in this version."""


class SettingsError(Exception):
    """A field of model-settings.json is wrong. The text names the file and the field."""


def shown(word: str) -> str:
    """A client's own word inside a sentence: quoted, on one line, and cut where it is long."""
    text = json.dumps(word, ensure_ascii=False)
    return text if len(text) <= LONGEST_WORD else text[:LONGEST_WORD] + '..."'


def unexpected(request_id: str, what: str, error: BaseException | None) -> str:
    """Log a fault of ours, and the sentence that leads to it in the log."""
    if not HARMLESS_ID.fullmatch(request_id):
        request_id = str(uuid.uuid4())
    logger.error("request %s %r failed", request_id, what, exc_info=error)
    return f"the server failed; its log has the details under request {request_id}"
