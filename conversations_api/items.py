"""Items to the messages that hold them, and back: exactly, as JSON values.

A message has the role and the parts that a V2 client reads. What they do not say of its items is
in a field: `items`, a list with what is left of each item, or `item`, one item that is no part of
a chat, such as reasoning. A message without either field, such as V2's, has the items that its
role, its parts and its calls make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conversations_api.kinds import CALL, MESSAGE, OUTPUT, is_call, is_message, is_output
from conversations_api.parts import (
    TEXT,
    Json,
    contents_of,
    only_text,
    part_of,
    rests_of,
    same_json,
)
from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message, Part, dumps

ASSISTANT, TOOL = "assistant", "tool"
ITEM, ITEMS = "item", "items"
# The part of a message that only calls tools, as V2's clients send it.
NO_TEXT = Part("text", "")


def messages_of(items: Sequence[Json]) -> list[Message]:
    """The messages that hold these items, which `requests.read_item` has made.

    Neighbouring messages and calls of one turn of the assistant are one message: two would be two
    turns, which chat models refuse.
    """
    return [_message(group) for group in _groups(items)]


def items_of(message: Message) -> list[Json | None]:
    """The items in a message, by their numbers, without positions; None where one was erased."""
    extra = message.extra
    if isinstance(extra.get(ITEM), dict):
        return [extra[ITEM]]
    rests = extra.get(ITEMS)
    if isinstance(rests, list) and any(isinstance(rest, dict) for rest in rests):
        return list(_restore_items(message, rests))
    return list(_plain_items(message))


def without(message: Message, number: int) -> Message | None:
    """The message without one of its items; None if no other is left."""
    items = items_of(message)
    items[number] = None
    return _rest_of(items)


def beginning(message: Message, count: int) -> Message | None:
    """The message with its first items only; None if none is left."""
    return _rest_of(items_of(message)[:count])


def _rest_of(items: Sequence[Json | None]) -> Message | None:
    left = [item for item in items if item is not None]
    return _compose_message(left, items) if left else None


def _groups(items: Sequence[Json]) -> Iterator[list[Json]]:
    """Items that become one message: at most one of them is itself a message."""
    group: list[Json] = []
    for item in items:
        joins = bool(group) and _may_join(group[-1]) and _may_join(item)
        has_message = any(is_message(each) for each in group)
        if group and (not joins or (has_message and is_message(item))):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _may_join(item: Json) -> bool:
    return is_call(item) or (is_message(item) and item["role"] == ASSISTANT)


# --- Items to a message ------------------------------------------------------------------


def _message(items: Sequence[Json]) -> Message:
    return _compose_message(items, items)


def _compose_message(live: Sequence[Json], items: Sequence[Json | None]) -> Message:
    """The message of the `live` items; `items` are these, by their numbers."""
    ids = {n: item["id"] for n, item in enumerate(items) if item and "id" in item}
    if not (is_call(live[0]) or is_message(live[0]) or is_output(live[0])):
        return Message(ASSISTANT, (), {ITEM: live[0]}, in_windows=False, ids=ids)
    role, parts, fields = _said(live)
    plain = Message(role, parts, fields)
    if len(live) == len(items) and same_json(items_of(plain), list(live)):
        return Message(role, parts, fields, ids=ids)
    rests = [None if item is None else _rest(item) for item in items]
    return Message(role, parts, {**fields, ITEMS: rests}, ids=ids)


def _said(items: Sequence[Json]) -> tuple[str, Sequence[Part], dict[str, Any]]:
    """The role, the parts and the fields by which V2's clients know these items."""
    first = items[0]
    if is_output(first):
        output = first["output"]
        return TOOL, _parts(output), {TOOL_CALL_ID: first["call_id"]}
    calls = [_tool_call(item) for item in items if is_call(item)]
    fields = {TOOL_CALLS: calls} if calls else {}
    for item in items:
        if is_message(item):
            return item["role"], _parts(item["content"]), fields
    return ASSISTANT, [NO_TEXT], fields


def _parts(contents: str | Sequence[Json]) -> list[Part]:
    if isinstance(contents, str):
        return [Part(TEXT, contents)]
    return [part_of(content) for content in contents]


def _tool_call(item: Json) -> Json:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def _rest(item: Json) -> Json:
    """What `_said` does not say of an item."""
    if is_call(item):
        return _without_fields(item, "call_id", "name", "arguments")
    if is_message(item):
        rest = _without_fields(item, "role", "content")
        if isinstance(item["content"], str):
            return {**rest, "content": TEXT}
        return _with_rests(rest, "content", item["content"], item)
    rest = _without_fields(item, "call_id", "output")
    if isinstance(item["output"], str):
        return rest
    return {**rest, "output": rests_of(item["output"], TOOL) or len(item["output"])}


def _with_rests(rest: Json, name: str, contents: Sequence[Json], item: Json) -> Json:
    rests = rests_of(contents, item["role"])
    return rest if rests is None else {**rest, name: rests}


def _without_fields(item: Json, *names: str) -> Json:
    return {name: value for name, value in item.items() if name not in names}


# --- A message to items ------------------------------------------------------------------


def _restore_items(message: Message, rests: Sequence[Json | None]) -> Iterator[Json | None]:
    calls = iter(message.extra.get(TOOL_CALLS, ()))
    for rest in rests:
        if rest is None:
            yield None
        elif rest.get("type", MESSAGE) == MESSAGE:
            yield {**rest, "role": message.role, "content": _content(message, rest)}
        elif rest["type"] == CALL:
            yield {**rest, **_call_fields(next(calls))}
        else:
            yield {**rest, "call_id": message.extra[TOOL_CALL_ID], "output": _output(message, rest)}


def _content(message: Message, rest: Json) -> str | list[Json]:
    if rest.get("content") == TEXT:
        return message.parts[0].value
    return contents_of(message.parts, rest.get("content"), message.role)


def _output(message: Message, rest: Json) -> str | list[Json]:
    if "output" not in rest:
        return message.parts[0].value
    rests = rest["output"] if isinstance(rest["output"], list) else None
    return contents_of(message.parts, rests, TOOL)


def _plain_items(message: Message) -> Iterator[Json]:
    call_id = message.extra.get(TOOL_CALL_ID)
    if message.role == TOOL and isinstance(call_id, str):
        text = only_text(message.parts)
        output = contents_of(message.parts, None, TOOL) if text is None else text
        yield {"type": OUTPUT, "call_id": call_id, "output": output, **_others(message.extra)}
        return
    calls = message.extra.get(TOOL_CALLS)
    calls = calls if isinstance(calls, list) else []
    others = _others(message.extra)
    if not calls or others or any(part != NO_TEXT for part in message.parts):
        content = contents_of(message.parts, None, message.role)
        yield {"type": MESSAGE, "role": message.role, "content": content, **others}
    for call in calls:
        yield {"type": CALL, **_call_fields(call)}


def _others(extra: Mapping[str, Any]) -> Json:
    """What a V2 client sent beside the fields of a chat; some names mean something in items."""
    taken = {"id", "type", "position", "call_id", "output", ITEM, ITEMS, TOOL_CALLS, TOOL_CALL_ID}
    return {name: value for name, value in extra.items() if name not in taken}


def _call_fields(call: Any) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return {"call_id": "", "name": "", "arguments": dumps(call)}
    arguments = function.get("arguments", "")
    return {
        "call_id": str(call.get("id", "")),
        "name": str(function.get("name", "")),
        "arguments": arguments if isinstance(arguments, str) else dumps(arguments),
    }
