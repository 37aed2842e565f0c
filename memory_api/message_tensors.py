"""The tensors of a request to the messages that it adds.

If `role` has one element, the request adds one message, and each element of `content` is a part
of it. If `role` has N elements, it adds N messages: element n of every other tensor is a JSON
list with the elements of message n, or "" if it has none. Seldon's chat translators send whole
conversations like this.

A tensor beside `role`, `content` and `type` becomes a field in `Message.extra`: as EXTRA_TENSORS
says, or else as the list of its texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message, Part
from memory_api import v2
from memory_api.errors import BadRequest, TooLarge
from memory_api.json_text import json_type, parse_json, refuse_excess
from memory_api.limits import MAX_TOOL_CALL_DEPTH


def read_messages(request: v2.InferRequest, tensor_names: Sequence[str]) -> list[Message]:
    """The messages that a request adds; none if it has no tensor out of `tensor_names`.

    Raises BadRequest and TooLarge.
    """
    tensors = _message_tensors(request, tensor_names)
    if not tensors:
        return []
    roles = tensors.pop("role")
    if not roles:
        raise BadRequest("tensor 'role' has 0 elements; it must have 1 for each message")
    _refuse_excess(roles, tensors)
    messages = [_message(roles[0], tensors)] if len(roles) == 1 else _messages(roles, tensors)
    parts = sum(map(_part_count, messages))
    if parts > settings.MAX_PARTS:
        raise TooLarge(f"the request has {parts} parts; the limit is {settings.MAX_PARTS}")
    return messages


def _message_tensors(request: v2.InferRequest, tensor_names: Sequence[str]) -> dict[str, list[str]]:
    """The tensors out of `tensor_names` that were sent: none, or at least role and content."""
    sent = {}
    for name in tensor_names:
        elements = request.strings(name)
        if elements is not None:
            sent[name] = elements
    if not sent:
        return {}
    if "role" not in tensor_names:
        sent["role"] = ["user"]
    if "content" not in sent and (TOOL_CALLS in sent or TOOL_CALL_ID in sent):
        # Seldon's translators leave a tensor out if all of its elements are empty.
        count = len(sent.get("role", ()))
        sent["content"] = [""] if count == 1 else ['[""]'] * count
    for name in ("role", "content"):
        if name not in sent:
            others = ", ".join(f"'{other}'" for other in sent)
            raise BadRequest(f"tensor '{name}' is missing, but {others} was sent")
    return sent


def _refuse_excess(roles: list[str], tensors: Mapping[str, list[str]]) -> None:
    """Refuse too many messages, and too many values in texts that will be read as JSON."""
    if len(roles) > settings.MAX_MESSAGES:
        raise TooLarge(
            f"the request has {len(roles)} messages; the limit is {settings.MAX_MESSAGES}"
        )
    count = 0
    for name, elements in tensors.items():
        if len(roles) > 1 or name == TOOL_CALLS:
            for text in elements:
                what = f"the JSON in tensor '{name}'"
                count = refuse_excess(text, what, settings.MAX_VALUES, count)


def _part_count(message: Message) -> int:
    """How many parts a message counts for: its own, and the values of its other fields."""
    extra = message.extra.values()
    return len(message.parts) + sum(len(value) if isinstance(value, list) else 1 for value in extra)


# --- Several messages --------------------------------------------------------------------


def _messages(roles: list[str], tensors: Mapping[str, list[str]]) -> list[Message]:
    count = len(roles)
    for name, elements in tensors.items():
        if len(elements) != count:
            raise BadRequest(
                f"tensor 'role' has {count} elements, but '{name}' has {len(elements)};"
                f" for {count} messages it must have {count}, each a JSON list"
            )
    messages = []
    for n, role in enumerate(roles):
        lists = {name: _elements_of(elements[n], name, n) for name, elements in tensors.items()}
        if not lists.get("type"):
            lists.pop("type", None)
        messages.append(_message(role, lists, f"message {n}: "))
    return messages


def _elements_of(text: str, name: str, n: int) -> list[Any]:
    """The elements of message n in the tensor `name`: the JSON list that `text` spells."""
    rule = _rule_for(name)
    if text == "":
        return []
    if rule.may_be_plain and not _is_json_list(text):
        return [text]
    what = f"element {n} of tensor '{name}'"
    wanted = (
        "it must be a JSON list of strings such as [\"Hello!\"], since 'role' has several elements"
    )
    try:
        values = parse_json(text, what)
    except BadRequest as error:
        raise BadRequest(f"{error}; {wanted}") from None
    if not isinstance(values, list):
        raise BadRequest(f"{what} is {json_type(values)}; {wanted}")
    for value in values:
        if not isinstance(value, rule.types):
            raise BadRequest(f"{what} contains {json_type(value)}; {wanted}")
    return values


def _is_json_list(text: str) -> bool:
    try:
        return isinstance(parse_json(text, ""), list)
    except BadRequest:
        return False


# --- One message -------------------------------------------------------------------------


def _message(role: str, tensors: Mapping[str, list[Any]], where: str = "") -> Message:
    """The message of this role; `where` begins an error sentence if there are several."""
    extra = dict(tensors)
    values = extra.pop("content")
    types = extra.pop("type", ["text"] * len(values))
    if len(types) != len(values):
        raise BadRequest(
            f"{where}tensor 'type' has {len(types)} elements, but 'content' has {len(values)};"
            " each part needs one type"
        )
    parts = [Part(*pair) for pair in zip(types, values, strict=True)]
    fields = {name: _rule_for(name).read(elements, where) for name, elements in extra.items()}
    fields = {name: value for name, value in fields.items() if value}
    if not parts and not fields:
        raise BadRequest(f"{where}tensor 'content' has 0 elements; a message needs at least 1")
    return Message(role, parts, fields)


# --- Tensors beside role, content and type -----------------------------------------------


def _texts(elements: list[Any], where: str) -> list[Any]:
    return elements


def _tool_calls(elements: list[Any], where: str) -> list[dict[str, Any]]:
    return [_tool_call(each, n, where) for n, each in enumerate(elements) if each != ""]


def _tool_call(element: Any, n: int, where: str) -> dict[str, Any]:
    what = f"{where}element {n} of tensor '{TOOL_CALLS}'"
    call = element if isinstance(element, dict) else parse_json(element, what)
    if not isinstance(call, dict):
        raise BadRequest(f"{what} is {json_type(call)}; it must be a JSON object")
    if _nesting_depth(call) > MAX_TOOL_CALL_DEPTH:
        raise BadRequest(f"{what} is nested more than {MAX_TOOL_CALL_DEPTH} levels deep")
    return call


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


def _tool_call_id(elements: list[Any], where: str) -> str:
    if len(elements) > 1:
        raise BadRequest(
            f"{where}tensor '{TOOL_CALL_ID}' has {len(elements)} elements; a message has at most 1"
        )
    return "".join(elements)


@dataclass(frozen=True, slots=True)
class ExtraTensor:
    """How a tensor becomes a field of a message.

    `read` makes the field's value from one message's elements; an empty value is left out. With
    several messages, a JSON list may have values of `types`, and with `may_be_plain` an element
    may also be one value without a list around it.
    """

    read: Callable[[list[Any], str], Any]
    types: tuple[type, ...] = (str,)
    may_be_plain: bool = False


TEXTS = ExtraTensor(_texts)
EXTRA_TENSORS = {
    TOOL_CALLS: ExtraTensor(_tool_calls, types=(str, dict)),
    # Seldon's translators send the id itself.
    TOOL_CALL_ID: ExtraTensor(_tool_call_id, may_be_plain=True),
}


def _rule_for(name: str) -> ExtraTensor:
    return EXTRA_TENSORS.get(name, TEXTS)
