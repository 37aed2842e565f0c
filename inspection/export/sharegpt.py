"""The ShareGPT form, which programs for fine-tuning read: turns of texts, `from` and `value`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.chat_form.left_out import Entry, field_entry, message_entry, part_entry
from convstore.escaping import escape_json
from convstore.exchange import metadata
from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message, dumps
from inspection.export.left_out import left_out_chunks

SPEAKERS: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "human",
    "assistant": "gpt",
    "tool": "observation",
    "function": "observation",
}
FUNCTION_CALL = "function_call"


def sharegpt_line(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line for each conversation: `id`, `conversations`, and `left_out`, which is no text.

    It has `metadata`, too, where the conversation has some.
    """
    pairs = metadata.read(conversation.metadata)
    head = {"id": conversation.memory_id} | ({"metadata": pairs} if pairs else {})
    yield escape_json(dumps(head))[:-1] + ', "conversations": ['
    separator, is_complete = "", True
    for row in rows:
        message = Message.from_json(row.body)
        is_complete = is_complete and not list(_left_out(message))
        for turn in _turns(message):
            yield separator + escape_json(dumps(turn))
            separator = ", "
    yield "]"
    if not is_complete:
        yield from left_out_chunks(_left_out, rows)
    yield "}\n"


def _turns(message: Message) -> Iterator[dict[str, str]]:
    """What the message says, and a turn for each of its calls; none if it has no parts."""
    calls = _calls(message)
    value = "\n\n".join(part.value for part in message.parts if part.type == "text")
    if value or (message.parts and not calls):
        yield {"from": SPEAKERS.get(message.role, message.role), "value": value}
    for call in calls:
        yield {"from": FUNCTION_CALL, "value": dumps(call)}


def _calls(message: Message) -> list[dict[str, Any]]:
    """The calls of functions: name and arguments. There are none if one is in another form."""
    calls = message.extra.get(TOOL_CALLS)
    found = [_call(call) for call in calls] if isinstance(calls, list) else []
    return [call for call in found if call] if all(found) else []


def _call(call: Any) -> dict[str, Any] | None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    return {"name": function["name"], "arguments": _arguments(function.get("arguments", ""))}


def _arguments(arguments: Any) -> Any:
    """The arguments as an object, or as they are if their text holds none."""
    if not isinstance(arguments, str):
        return arguments
    try:
        found = json.loads(arguments)
        json.dumps(found, allow_nan=False)  # a number may be too large for a float
    except (ValueError, RecursionError):
        return arguments
    return found if isinstance(found, dict) else arguments


def _left_out(message: Message) -> Iterator[Entry]:
    if not any(_turns(message)):  # such as reasoning
        yield message_entry(message)
        return
    for number, part in enumerate(message.parts, 1):
        if part.type != "text":
            yield part_entry(number, part)
    for name, value in message.extra.items():
        if name == TOOL_CALL_ID or (name == TOOL_CALLS and _calls(message)):
            continue
        yield field_entry(name, value)
