"""Convert tool calls to what a page shows of them: a line each, and the rest when it is opened."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from convstore.escaping import escape_controls, indented_json, indented_json_text
from convstore.messages import Message, dumps
from inspection.parts import MAX_SHOWN_CHARACTERS

# The most characters of a call, and of one argument, in the call's line.
MAX_LINE, MAX_ARGUMENT = 160, 60
# How the text of a result begins if it reports a failure.
FAILURE = re.compile(
    r"\s*(Traceback \(most recent|[\w.]*(Error|Exception)\s*[:(]|error:|(ERROR|FAILED)\b)"
)
FAILED_STATES = ("error", "failed", "failure")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `line` is written as programmers write a call; `arguments` are indented.

    `cut`: `arguments` was truncated.
    """

    name: str
    line: str
    arguments: str
    id: str
    cut: bool


def call_from(call: Any) -> Call:
    """A call in OpenAI's format. A call in any other format is shown whole, as arguments."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        line = _first_characters(dumps(call), MAX_LINE)
        return _call("", line, indented_json(call), "")
    name, arguments = str(function.get("name", "")), function.get("arguments", "")
    line = _first_characters(f"{name or 'a tool'}({_argument_list(arguments)})", MAX_LINE)
    return _call(name, line, _indented_arguments(arguments), str(call.get("id", "")))


def _call(name: str, line: str, arguments: str, id: str) -> Call:  # noqa: A002
    shown, cut = arguments[:MAX_SHOWN_CHARACTERS], len(arguments) > MAX_SHOWN_CHARACTERS
    return Call(escape_controls(name), line, escape_controls(shown), escape_controls(id), cut)


def _argument_list(arguments: Any) -> str:
    """`city="Paris", days=3`, or the text itself if it holds no JSON object."""
    values = _json_object(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(values, Mapping):
        return _first_characters(
            arguments if isinstance(arguments, str) else dumps(values), MAX_LINE
        )
    shown = (
        f"{key}={_first_characters(dumps(value), MAX_ARGUMENT)}" for key, value in values.items()
    )
    return ", ".join(shown)


def arguments_line(arguments: Mapping[str, Any]) -> str:
    """The arguments in one line, as programmers write them."""
    return _first_characters(_argument_list(arguments), MAX_LINE)


def _indented_arguments(arguments: Any) -> str:
    """The arguments of a call: they may be JSON in a string, or JSON values."""
    if not isinstance(arguments, str):
        return indented_json(arguments)
    if indented := indented_json_text(arguments):
        return indented
    with suppress(ValueError, RecursionError):
        value = json.loads(arguments) if len(arguments) <= MAX_SHOWN_CHARACTERS else None
        return value if isinstance(value, str) else arguments
    return arguments


def _json_object(text: str) -> dict[str, Any] | None:
    """The object in a text; None if there is none, or if the text would not be indented."""
    indented = indented_json_text(text)
    value = json.loads(indented) if indented else None
    return value if isinstance(value, dict) else None


def result_line(message: Message) -> str:
    """The first line of a result; JSON is written in one line."""
    for part in message.parts:
        if part.type != "text":
            return f"[{escape_controls(part.type)}]"
        indented = indented_json_text(part.value)
        text = dumps(json.loads(indented)) if indented else part.value
        if line := next((line for line in text.splitlines() if line.strip()), ""):
            return _first_characters(line.strip(), MAX_LINE)
    return ""


def is_failure(message: Message) -> bool:
    """Whether a result looks like a failure (a guess from its text and fields)."""
    if _tells_of_failure(message.extra):
        return True
    text = next((part.value for part in message.parts if part.type == "text"), "")
    return bool(FAILURE.match(text)) or _tells_of_failure(_json_object(text) or {})


def _tells_of_failure(fields: Mapping[str, Any]) -> bool:
    return bool(
        fields.get("error")
        or fields.get("is_error") is True
        or fields.get("isError") is True
        or fields.get("success") is False
        or fields.get("status") in FAILED_STATES
    )


def _first_characters(text: str, limit: int) -> str:
    text = escape_controls(" ".join(text[: 2 * limit].split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
