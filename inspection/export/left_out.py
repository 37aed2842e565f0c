"""What a format has no form for: it is exported beside the messages, under `left_out`.

An entry is a part, a field or a whole message, as it is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from convstore.archive.history import MessageRow
from convstore.messages import Message, Part, dumps
from inspection.escaping import escape_json

Entry = dict[str, Any]


def part_entry(number: int, part: Part) -> Entry:
    """An entry for a part; `number` counts from 1, as in the admin."""
    return {"part": number, "type": part.type, "value": part.value}


def field_entry(name: str, value: object) -> Entry:
    return {"field": name, "value": value}


def message_entry(message: Message) -> Entry:
    return {"message": json.loads(message.to_json())}


def left_out_chunks(
    entries_of: Callable[[Message], Iterable[Entry]], rows: Iterable[MessageRow]
) -> Iterator[str]:
    """The field of a line with all entries, each with the position of its message."""
    yield ', "left_out": ['
    separator = ""
    for row in rows:
        for entry in entries_of(Message.from_json(row.body)):
            yield separator + escape_json(dumps({"position": row.position, **entry}))
            separator = ", "
    yield "]"
