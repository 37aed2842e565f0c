"""OpenAI's chat format: what Chat Completions takes, and beside it what that has no form for.

The reference is platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message, dumps
from inspection.escaping import escape_json
from inspection.export.left_out import (
    Entry,
    field_entry,
    left_out_chunks,
    message_entry,
    part_entry,
)
from inspection.export.openai_fields import openai_field
from inspection.export.openai_parts import openai_part

NAME = "name"


class Role(NamedTuple):
    """The types of parts and the fields that a message of this role may have."""

    parts: frozenset[str]
    fields: frozenset[str]
    required: str = ""


TEXT = frozenset({"text"})
ROLES: Mapping[str, Role] = {
    "developer": Role(TEXT, frozenset({NAME})),
    "system": Role(TEXT, frozenset({NAME})),
    "user": Role(TEXT | {"image_url", "input_audio", "file"}, frozenset({NAME})),
    "assistant": Role(
        TEXT | {"refusal"}, frozenset({NAME, "refusal", "audio", "function_call", TOOL_CALLS})
    ),
    "tool": Role(TEXT, frozenset({TOOL_CALL_ID}), required=TOOL_CALL_ID),
    "function": Role(TEXT, frozenset({NAME}), required=NAME),
}
# A message with one of these needs no content: then it is null.
INSTEAD_OF_CONTENT = frozenset({"refusal", "audio", "function_call", TOOL_CALLS})


def openai_line(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line for each conversation: `metadata` and `messages` of a Chat Completions request.

    What has no form there follows under `left_out`. It is read once more for that, so that only
    one message at a time is in memory.
    """
    metadata = dumps({"memory_id": conversation.memory_id})
    yield f'{{"metadata": {escape_json(metadata)}, "messages": ['
    separator, is_complete = "", True
    for row in rows:
        message, left_out = openai_message(Message.from_json(row.body))
        is_complete = is_complete and not left_out
        if message is not None:
            yield separator + escape_json(dumps(message))
            separator = ", "
    yield "]"
    if not is_complete:
        yield from left_out_chunks(lambda message: openai_message(message)[1], rows)
    yield "}\n"


def openai_message(message: Message) -> tuple[dict[str, Any] | None, list[Entry]]:
    """The message as Chat Completions takes it, and what it has no form for.

    The message is None if it has no form as a whole.
    """
    role = ROLES.get(message.role)
    if role is None:
        return None, [message_entry(message)]
    left_out: list[Entry] = []
    parts = list(_parts(message, role, left_out))
    fields = dict(_fields(message, role, left_out))
    content = _content(parts, fields)
    lacks_field = role.required and role.required not in fields
    if lacks_field or (message.role == "function" and isinstance(content, list)):
        return None, [message_entry(message)]
    return {"role": message.role, "content": content, **fields}, left_out


def _parts(message: Message, role: Role, left_out: list[Entry]) -> Iterator[dict[str, Any]]:
    for number, part in enumerate(message.parts, 1):
        converted = openai_part(part)
        if converted and converted["type"] in role.parts:
            yield converted
        else:
            left_out.append(part_entry(number, part))


def _fields(message: Message, role: Role, left_out: list[Entry]) -> Iterator[tuple[str, Any]]:
    for name, value in message.extra.items():
        converted, is_whole = openai_field(name, value) if name in role.fields else (None, False)
        if converted is not None:
            yield name, converted
        if not is_whole:
            left_out.append(field_entry(name, value))


def _content(parts: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> Any:
    if [part["type"] for part in parts] not in ([], ["text"]):
        return parts
    text = parts[0]["text"] if parts else ""
    return None if text == "" and INSTEAD_OF_CONTENT & fields.keys() else text
