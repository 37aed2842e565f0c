"""What a format has no form for: it is exported beside the messages, under `left_out`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from convstore.archive.history import MessageRow
from convstore.chat_form.left_out import Entry
from convstore.escaping import escape_json
from convstore.messages import Message, dumps


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
