"""Why a request is refused, one class per reason. Each door has a table of their statuses.

RequestError
 ├── BadRequest         not V2, or not what a memory can act on
 ├── TooLarge           over a limit on bytes or parts
 ├── UnknownMemory      no memory has this name and version
 └── MemoryUnavailable  the memory's own settings are wrong

SettingsError           a model-settings.json that cannot be loaded
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from convstore.errors import Unavailable
from convstore.request_log import request_id_for

logger = logging.getLogger(__name__)

MAX_QUOTED_CHARACTERS = 60
SPELL = json.JSONEncoder(ensure_ascii=False).encode


class RequestError(Exception):
    """Base class of the reasons.

    The text is one sentence: what is wrong, what came, what is wanted. It never contains what a
    client sent as content.
    """


class BadRequest(RequestError):
    """The document, a tensor or a parameter is missing, repeated or malformed."""


class TooLarge(RequestError):
    """The body, the decompressed body, the tensors or the number of parts are over a limit."""


class UnknownMemory(RequestError):
    """No memory has this name, or not in this version."""


class MemoryUnavailable(RequestError):
    """The memory's own model-settings.json is wrong; the text is the SettingsError's."""


class SettingsError(Exception):
    """A field of model-settings.json is wrong. The text names the file and the field."""


def quote(word: str) -> str:
    """A name that a client sent, for use in a sentence: quoted, on one line, cut if it is long."""
    text = SPELL(word)
    return text if len(text) <= MAX_QUOTED_CHARACTERS else text[:MAX_QUOTED_CHARACTERS] + '..."'


def number_of(number: int, noun: str) -> str:
    """A number of things, for use in a sentence: "1 element", "2 elements"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- From an error to an answer ----------------------------------------------------------


def status_and_sentence(
    error: Exception, statuses: Mapping[type[Exception], int], *, where: str, request_id: str
) -> tuple[int, str]:
    """What a door answers when `error` was raised. Logs it unless it is the client's fault.

    `statuses` is the door's table. A class that is not in it has the status of its nearest base
    class there; where there is none, the status is 500 and the sentence does not show the error.
    """
    status = next((statuses[base] for base in type(error).__mro__ if base in statuses), None)
    if status is None:
        return 500, log_unexpected_error(error, where, request_id)
    if status >= 500:
        log_failure(where, error)
    return status, str(error)


def log_failure(where: str, error: Exception) -> None:
    """Log an error that was foreseen, with its cause, which is not shown to clients."""
    level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
    logger.log(level, "%s: %s", where, with_cause(error))


def log_unexpected_error(error: BaseException | None, where: str, request_id: str) -> str:
    """Log a bug, and return a sentence for the client that says where in the log to look."""
    request_id = request_id_for(request_id)
    logger.error("request id %s failed: %s", request_id, where, exc_info=error)
    return f"the server failed; its log has the details under request id {request_id}"


def with_cause(error: Exception) -> str:
    """The error's sentence and what the database's driver said, on one line."""
    cause = " ".join(str(error.__cause__ or "").split())
    return f"{error}: {cause}" if cause else str(error)
