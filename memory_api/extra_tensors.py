"""How a tensor beside `role` becomes a part or a field of a message, each by its own rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, JsonText
from memory_api.errors import BadRequest
from memory_api.json_text import json_type, parse_json
from memory_api.limits import MAX_TOOL_CALL_DEPTH


def _texts(elements: list[str], where: str) -> list[str]:
    return elements


def _tool_calls(elements: list[str], where: str) -> list[str]:
    return [_tool_call(each, n, where) for n, each in enumerate(elements) if each != ""]


def _tool_call(element: str, n: int, where: str) -> JsonText:
    """The text of a call as it came: numbers, escapes and doubled keys stay what they are."""
    what = f"{where}element {n} of tensor '{TOOL_CALLS}'"
    call = parse_json(element, what)
    if not isinstance(call, dict):
        raise BadRequest(f"{what} is {json_type(call)}; it must be a JSON object")
    if _nesting_depth(call) > MAX_TOOL_CALL_DEPTH:
        raise BadRequest(f"{what} is nested more than {MAX_TOOL_CALL_DEPTH} levels deep")
    return JsonText(element)


def _nesting_depth(value: object) -> int:
    """How many levels of lists and objects there are. It does not recurse, so it never fails."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _inner_values(outer)]:
        depth += 1
    return depth


def _inner_values(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _tool_call_id(elements: list[str], where: str) -> str:
    if len(elements) > 1:
        raise BadRequest(
            f"{where}tensor '{TOOL_CALL_ID}' has {len(elements)} elements; a message has at most 1"
        )
    return "".join(elements)


@dataclass(frozen=True, slots=True)
class ExtraTensor:
    """How a tensor becomes a field of a message.

    `read` makes the field's value from one message's elements; an empty value is left out. With
    `may_be_object`, an element may be a JSON object, which stands for its text. With several
    messages and `may_be_plain`, an element may also be one value without a list around it.
    """

    read: Callable[[list[str], str], Any]
    may_be_object: bool = True
    may_be_plain: bool = False


TEXTS = ExtraTensor(_texts)
EXTRA_TENSORS = {
    # Its parts and their types are texts.
    "content": ExtraTensor(_texts, may_be_object=False),
    "type": ExtraTensor(_texts, may_be_object=False),
    TOOL_CALLS: ExtraTensor(_tool_calls),
    # Seldon's translators send the id itself.
    TOOL_CALL_ID: ExtraTensor(_tool_call_id, may_be_object=False, may_be_plain=True),
}


def rule_for(name: str) -> ExtraTensor:
    return EXTRA_TENSORS.get(name, TEXTS)
