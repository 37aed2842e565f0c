"""What a format has no form for: a part, a field or a whole message, as it is stored."""

from __future__ import annotations

import json
from typing import Any

from convstore.messages import Message, Part

Entry = dict[str, Any]


def part_entry(number: int, part: Part) -> Entry:
    """An entry for a part; `number` counts from 1, as in the admin."""
    return {"part": number, "type": part.type, "value": part.value}


def field_entry(name: str, value: object) -> Entry:
    return {"field": name, "value": value}


def message_entry(message: Message) -> Entry:
    return {"message": json.loads(message.to_json())}
