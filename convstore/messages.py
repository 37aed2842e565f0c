"""Message and Part: what is said, as frozen values, and their one JSON form.

Knows nothing of storage: a message has no id and no time, and two messages with the
same content are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One typed piece of content."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """A role and its parts, said once; `extra` holds what else belongs to it, by name."""

    role: str
    parts: Sequence[Part]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The element of `history`: `{"role": ..., "content": [{"type": ..., "value": ...}]}`.

        Spaced as `json.dumps` does, then the names of `extra` in their order. Text stays
        text; a message that is not valid UTF-8 (a lone surrogate) is escaped whole, so the
        result always is.
        """
        element = {
            "role": self.role,
            "content": [{"type": part.type, "value": part.value} for part in self.parts],
            **self.extra,
        }
        return dumps(element)

    @classmethod
    def from_json(cls, body: str) -> Message:
        """The message of which `to_json` made `body`."""
        element = json.loads(body)
        role, content = element.pop("role"), element.pop("content")
        return cls(role, [Part(part["type"], part["value"]) for part in content], element)


# How `to_json` begins, and a part as it spells it, whose value may be cut off. Quotation marks
# inside of a string have a backslash in front.
STRING = r'[^"\\]*(?:\\.[^"\\]*)*'
BEGIN = re.compile(rf'{{"role": "{STRING}", "content": \[')
PART = re.compile(rf'(?:, )?{{"type": "({STRING})", "value": "({STRING})("}})?')
CUT_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u[0-9a-f]{0,3}$")


def parts_in(beginning: str) -> Iterator[Part]:
    """The parts in the beginning of a message's JSON; the last one's value may be cut off."""
    found = BEGIN.match(beginning)
    while found and (found := PART.match(beginning, found.end())):
        yield Part(_unescaped(found[1]), _unescaped(CUT_ESCAPE.sub(r"\1", found[2])))
        if not found[3]:
            return


def _unescaped(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def dumps(value: object, **style: Any) -> str:
    """JSON text that can always be written as UTF-8: escaped whole only where it must be."""
    text = json.dumps(value, ensure_ascii=False, **style)
    return text if is_utf8(text) else json.dumps(value, **style)


def is_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8, that is, holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
