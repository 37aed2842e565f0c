"""The tensors of a request to the messages that it adds.

If `role` has one element, the request adds one message, and each element of `content` is a part
of it. If `role` has N elements, it adds N messages: element n of every other tensor is a JSON
list with the elements of message n, or "" if it has none. Seldon's chat translators send whole
conversations like this.

A tensor beside `role`, `content` and `type` becomes a field in `Message.extra`: as its rule
says, or else as the list of its texts.

A memory keeps the tensors that its `tensor_names` have. A message that only another tensor of
OpenAI's format would fill is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings

from convstore.messages import TOOL_CALLS, Message, Part
from memory_api import v2
from memory_api.errors import BadRequest, TooLarge, number_of
from memory_api.extra_tensors import rule_for
from memory_api.json_text import json_type, list_texts, parse_json, refuse_excess
from memory_api.left_out_tensors import LeftOut, left_out_tensors, refuse_emptied

# A message of nothing but these needs content.
WITHOUT_CONTENT = {"role", "type", "name"}


def read_messages(request: v2.InferRequest, tensor_names: Sequence[str]) -> list[Message]:
    """The messages that a request adds; none if it has no tensor out of `tensor_names`.

    Raises BadRequest and TooLarge.
    """
    left_out = left_out_tensors(request, tensor_names)
    tensors = _message_tensors(request, tensor_names, left_out)
    if not tensors:
        return []
    roles = tensors.pop("role")
    if not roles:
        raise BadRequest("tensor 'role' has 0 elements; it must have 1 for each message")
    _refuse_excess(roles, tensors)
    if len(roles) == 1:
        messages = [_message(roles[0], tensors, left_out)]
    else:
        messages = _messages(roles, tensors, left_out)
    parts = sum(map(_part_count, messages))
    if parts > settings.MAX_PARTS:
        raise TooLarge(f"the request has {parts} parts; the limit is {settings.MAX_PARTS}")
    return messages


def _message_tensors(
    request: v2.InferRequest, tensor_names: Sequence[str], left_out: LeftOut
) -> dict[str, list[str]]:
    """The tensors out of `tensor_names` that were sent: none, or at least role and content."""
    elements = {name: _elements(request, name) for name in tensor_names}
    sent = {name: texts for name, texts in elements.items() if texts is not None}
    if "content" not in sent:
        refuse_emptied(left_out)
    if not sent:
        return {}
    if "role" not in tensor_names:
        sent["role"] = ["user"]
    if "content" not in sent and sent.keys() - WITHOUT_CONTENT:
        # Seldon's translators leave a tensor out if all of its elements are empty.
        count = len(sent.get("role", ()))
        sent["content"] = [""] if count == 1 else ['[""]'] * count
    for name in ("role", "content"):
        if name not in sent:
            others = ", ".join(f"'{other}'" for other in sent)
            raise BadRequest(f"tensor '{name}' is missing, but {others} was sent")
    return sent


def _elements(request: v2.InferRequest, name: str) -> list[str] | None:
    if name in ("role", "type"):
        return request.strings(name)
    return request.dumped_strings(name, objects=rule_for(name).may_be_object)


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


def _messages(
    roles: list[str], tensors: Mapping[str, list[str]], left_out: LeftOut
) -> list[Message]:
    count = len(roles)
    for name, elements in tensors.items():
        if len(elements) != count:
            raise BadRequest(
                f"tensor '{name}' has {number_of(len(elements), 'element')}; it must have {count},"
                " one JSON list for each element of 'role'"
            )
    messages = []
    for n, role in enumerate(roles):
        lists = {name: _elements_of(elements[n], name, n) for name, elements in tensors.items()}
        if not lists.get("type"):
            lists.pop("type", None)
        left_out_here = {name: elements[n : n + 1] for name, elements in left_out.items()}
        messages.append(_message(role, lists, left_out_here, f"message {n}: "))
    return messages


def _elements_of(text: str, name: str, n: int) -> list[str]:
    """The elements of message n in the tensor `name`: the JSON list that `text` spells.

    An object in the list is its JSON text.
    """
    rule = rule_for(name)
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
    types = (str, dict) if rule.may_be_object else str
    for value in values:
        if not isinstance(value, types):
            raise BadRequest(f"{what} contains {json_type(value)}; {wanted}")
    if dict not in map(type, values):
        return values
    pairs = zip(values, list_texts(text), strict=True)
    return [value if isinstance(value, str) else spelled for value, spelled in pairs]


def _is_json_list(text: str) -> bool:
    try:
        return isinstance(parse_json(text, ""), list)
    except BadRequest:
        return False


# --- One message -------------------------------------------------------------------------


def _message(
    role: str, tensors: Mapping[str, list[str]], left_out: LeftOut, where: str = ""
) -> Message:
    """The message of this role; `where` begins an error sentence if there are several."""
    extra = dict(tensors)
    values = extra.pop("content")
    types = extra.pop("type", ["text"] * len(values))
    if len(types) != len(values):
        raise BadRequest(
            f"{where}tensor 'type' has {number_of(len(types), 'element')}; it must have"
            f" {len(values)}, one for each element of 'content'"
        )
    parts = [Part(*pair) for pair in zip(types, values, strict=True)]
    fields = {name: rule_for(name).read(elements, where) for name, elements in extra.items()}
    fields = {name: value for name, value in fields.items() if value}
    if not fields and not any(values):
        refuse_emptied(left_out)
    if not parts and not fields:
        raise BadRequest(f"{where}tensor 'content' has 0 elements; a message needs at least 1")
    return Message(role, parts, fields)
