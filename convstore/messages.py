"""Message and Part: what is said, as frozen values, and their one JSON form.

They know nothing of storage: a message has no id and no time, and two messages with the
same content are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# As much of a role as its column holds whatever its characters are, and the length of that column
# and of a client's memory_id: SQL Server and Oracle count in UTF-16 units, two for each emoji.
MAX_NAME_CHARACTERS = 255
MAX_NAME_LENGTH = 2 * MAX_NAME_CHARACTERS
# Of the column of memory_id, in which a tenant's name and a slash may stand before a client's id.
MAX_STORED_ID_LENGTH = 64 + MAX_NAME_LENGTH

# The names in `Message.extra` that mean something: an assistant's calls of tools, and the call
# that a tool answers.
TOOL_CALLS = "tool_calls"
TOOL_CALL_ID = "tool_call_id"
# The name under which clients send how many tokens each message has.
TOKENS = "tokens"

# How JSON text is spelled: with non-ASCII characters as they are, or all of them escaped.
IN_UTF8, IN_ASCII = json.JSONEncoder(ensure_ascii=False).encode, json.JSONEncoder().encode


class JsonText(str):
    """JSON text in `Message.extra` that is kept to the letter, as it came from a client."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One typed piece of content."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """A role and its parts, said once; `extra` holds what else belongs to it, by name.

    The JSON form has nothing of the other fields: `tokens` is how many a model counts it as, if
    somebody has counted; with `in_windows` false, no window holds it, but people see it; `ids` are
    those that the client gave to its items, by the items' numbers.
    """

    role: str
    parts: Sequence[Part]
    extra: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = field(default=None, compare=False)
    in_windows: bool = field(default=True, compare=False)
    ids: Mapping[int, str] = field(default_factory=dict, compare=False)

    def to_json(self) -> str:
        """The element of `history`: `{"role": ..., "content": [{"type": ..., "value": ...}]}`.

        The spacing is that of `json.dumps`, except inside JsonText; the fields of `extra` follow in
        their order. The result is always valid UTF-8: a message with a lone surrogate is written
        with all its non-ASCII characters escaped.
        """
        text = self._json_with(IN_UTF8)
        return text if is_utf8(text) else self._json_with(IN_ASCII)

    def _json_with(self, spell: Callable[[Any], str]) -> str:
        # json.dumps would take ten times as long: it makes an encoder for each message.
        parts = [
            f'{{"type": {spell(part.type)}, "value": {spell(part.value)}}}' for part in self.parts
        ]
        extra = [f", {spell(name)}: {_field(value, spell)}" for name, value in self.extra.items()]
        return f'{{"role": {spell(self.role)}, "content": [{", ".join(parts)}]{"".join(extra)}}}'

    @classmethod
    def from_json(cls, body: str) -> Message:
        """The message that `to_json` turned into `body`."""
        element = json.loads(body)
        role, content = element.pop("role"), element.pop("content")
        return cls(role, [Part(part["type"], part["value"]) for part in content], element)


def _field(value: Any, spell: Callable[[Any], str]) -> str:
    """The value of a field of `extra`, in which JsonText may be an element of a list."""
    if not isinstance(value, list) or JsonText not in map(type, value):
        return spell(value)
    return f"[{', '.join(_item_json(item, spell) for item in value)}]"


def _item_json(item: Any, spell: Callable[[Any], str]) -> str:
    if not isinstance(item, JsonText):
        return spell(item)
    if spell is IN_UTF8 or item.isascii():
        return str(item)
    # Outside of its strings, JSON is ASCII; inside, the escape means the same.
    return "".join(each if each.isascii() else IN_ASCII(each)[1:-1] for each in item)


# How the text of `to_json` begins, and how it spells a part, whose value may be cut off. In a
# JSON string every quotation mark has a backslash in front.
STRING = r'[^"\\]*(?:\\.[^"\\]*)*'
BEGIN = re.compile(rf'{{"role": "{STRING}", "content": \[')
PART = re.compile(rf'(?:, )?{{"type": "({STRING})", "value": "({STRING})("}})?')
CUT_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u[0-9a-f]{0,3}$")


def parts_in(beginning: str) -> Iterator[Part]:
    """The parts in the beginning of a message's JSON; the value of the last may be cut off."""
    found = BEGIN.match(beginning)
    while found and (found := PART.match(beginning, found.end())):
        yield Part(_unescape(found[1]), _unescape(CUT_ESCAPE.sub(r"\1", found[2])))
        if not found[3]:
            return


def _unescape(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def dumps(value: object, **style: Any) -> str:
    """JSON text that is always valid UTF-8; non-ASCII is escaped only if it has to be."""
    text = json.dumps(value, ensure_ascii=False, **style)
    return text if is_utf8(text) else json.dumps(value, **style)


def is_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8, that is, holds no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
