"""OpenAI's chat format: what Chat Completions takes, and beside it what that has no form for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.chat_form import openai_message
from convstore.escaping import escape_json
from convstore.exchange import metadata
from convstore.messages import Message, dumps
from inspection.export.left_out import left_out_chunks


def openai_line(conversation: ConversationRow, rows: Iterable[MessageRow]) -> Iterator[str]:
    """One line for each conversation: `metadata` and `messages` of a Chat Completions request.

    The metadata are the conversation's, and its `memory_id`.

    What has no form there follows under `left_out`. It is read once more for that, so that only
    one message at a time is in memory.
    """
    pairs = metadata.read(conversation.metadata) | {"memory_id": conversation.memory_id}
    yield f'{{"metadata": {escape_json(dumps(pairs))}, "messages": ['
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
