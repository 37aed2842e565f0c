"""The fields of a message beside its content, in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, dumps

# A value in OpenAI's form, or None if it has none; and whether nothing of it was left out.
Converted = tuple[Any, bool]
NOTHING: Converted = (None, False)


def openai_field(name: str, value: object) -> Converted:
    return CONVERSIONS[name](value)


def _text(value: object) -> Converted:
    """The one text of a field: a tensor's texts are kept as a list."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0], True
    return NOTHING


def _id(value: object) -> Converted:
    return (value, True) if isinstance(value, str) else NOTHING


def _audio(value: object) -> Converted:
    """The id of an answer in audio: a request names it, and does not hold its bytes."""
    audio = _object(value)
    if not isinstance(audio.get("id"), str):
        return NOTHING
    return {"id": audio["id"]}, audio.keys() == {"id"}


def _function_call(value: object) -> Converted:
    call = _texts_in(_object(value), "name", "arguments")
    return (call, True) if call else NOTHING


def _tool_calls(value: object) -> Converted:
    calls = value if isinstance(value, list) else []
    converted = [call for call in map(_tool_call, calls) if call]
    return converted or None, len(converted) == len(calls) and bool(calls)


def _tool_call(call: Any) -> dict[str, Any] | None:
    """A call of a function or of a custom tool; None if it has no form, or more than the form has.

    The arguments of a function become JSON text, which OpenAI requires.
    """
    if not isinstance(call, dict) or not isinstance(call.get("id"), str):
        return None
    kind = call.get("type", "function")
    if kind not in ("function", "custom") or call.keys() - {"id", "type", kind}:
        return None
    called = call.get(kind)
    if kind == "function" and isinstance(called, dict):
        arguments = called.get("arguments", "")
        text = arguments if isinstance(arguments, str) else dumps(arguments)
        called = _texts_in({**called, "arguments": text}, "name", "arguments")
    else:
        called = _texts_in(called, "name", "input")
    return {"id": call["id"], "type": kind, kind: called} if called else None


def _object(value: object) -> dict[str, Any]:
    """The JSON object in the one text of a field; an empty one if there is none."""
    text, _ = _text(value)
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts_in(value: object, *names: str) -> dict[str, str] | None:
    """The object, if it has texts under these names and nothing else."""
    if not isinstance(value, Mapping) or value.keys() != set(names):
        return None
    return dict(value) if all(isinstance(each, str) for each in value.values()) else None


CONVERSIONS: Mapping[str, Callable[[object], Converted]] = {
    "name": _text,
    "refusal": _text,
    "audio": _audio,
    "function_call": _function_call,
    TOOL_CALLS: _tool_calls,
    TOOL_CALL_ID: _id,
}
