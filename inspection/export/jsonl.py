"""The format that keeps everything: one line for each message, exactly as it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.escaping import escape_json
from convstore.exchange import metadata
from convstore.messages import dumps


def stored_lines(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line for each message; `body` is exactly the JSON that is stored.

    The first line of a conversation has its `metadata`, too, if there are some.
    """
    pairs = metadata.read(conversation.metadata)
    for row in rows:
        line: dict[str, Any] = {
            "memory_id": conversation.memory_id,
            "position": row.position,
            "created_at": row.created_at.isoformat(),
            "body": row.body,
        }
        if pairs:
            line["metadata"], pairs = pairs, {}
        yield escape_json(dumps(line)) + "\n"
