"""Messages in the form that Chat Completions takes, and what of them has no such form.

The reference is platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from convstore.chat_form.fields import openai_field
from convstore.chat_form.left_out import Entry, field_entry, message_entry, part_entry
from convstore.chat_form.parts import openai_part
from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message

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


class Row(Protocol):
    """A stored message."""

    body: str


def chat_messages(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The messages of a window or of a page as Chat Completions takes them.

    One that has no such form is left out, as is what has none in a message.
    """
    found = (openai_message(Message.from_json(row.body))[0] for row in rows)
    return [message for message in found if message is not None]


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
    if left_out and not (message.parts or fields):  # such as reasoning
        return None, [message_entry(message)]
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
