"""Items as messages of Chat Completions, with tool turns whole.

Chat models refuse a call that has no answer behind it, and an answer that has no call before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from conversations_api.parts import Json
from convstore.archive.history import MessageRow
from convstore.chat_form import openai_message
from convstore.chat_form.left_out import Entry, field_entry, message_entry
from convstore.messages import TOOL_CALL_ID, TOOL_CALLS, Message
from convstore.windows import ASSISTANT, TOOL

CONTENT = "content"


def is_split(older: MessageRow, newer: MessageRow) -> bool:
    """Whether a page that ends between two neighbouring rows would split a turn."""
    return newer.role == TOOL or newer.role == older.role == ASSISTANT


@dataclass(frozen=True, slots=True)
class Chat:
    """The messages, oldest first, and what of the items is in none of them, by position."""

    messages: list[Json] = field(default_factory=list)
    left_out: list[Entry] = field(default_factory=list)


class _PlacedMessage(NamedTuple):
    position: int
    stored: Message
    message: Json

    @property
    def role(self) -> str:
        role: str = self.message["role"]
        return role

    @property
    def calls(self) -> list[Any]:
        calls: list[Any] = self.message.get(TOOL_CALLS, [])
        return calls


def chat_of(rows: Sequence[MessageRow]) -> Chat:
    """The messages of neighbouring rows, the oldest first."""
    chat = Chat()
    placed = list(_convert_rows(rows, chat))
    while placed:
        turn = _first_turn(placed)
        placed = placed[len(turn) :]
        chat.messages.extend(_whole(turn, chat, is_last=not placed))
    chat.left_out.sort(key=lambda entry: int(entry["position"]))
    return chat


def _convert_rows(rows: Sequence[MessageRow], chat: Chat) -> Iterator[_PlacedMessage]:
    for row in rows:
        stored = Message.from_json(row.body)
        message, entries = openai_message(stored)
        chat.left_out.extend({"position": row.position, **entry} for entry in entries)
        if message is not None:
            yield _PlacedMessage(row.position, stored, message)


def _first_turn(placed: Sequence[_PlacedMessage]) -> list[_PlacedMessage]:
    """The first message; if it calls tools, with what the assistant says before the answers, and
    with these."""
    asking = list(takewhile(lambda each: each.role == ASSISTANT, placed))
    answers = list(takewhile(lambda each: each.role == TOOL, placed[len(asking) :]))
    if not placed[0].calls:
        return answers if placed[0].role == TOOL else [placed[0]]
    return [*asking, *answers] if answers else [placed[0]]


def _whole(turn: Sequence[_PlacedMessage], chat: Chat, *, is_last: bool) -> Iterator[Json]:
    """A turn without calls that have no answer and answers that have no call; calls of the last
    turn may wait for theirs."""
    asking = [each for each in turn if each.role != TOOL]
    called = Counter(call["id"] for each in asking for call in each.calls)
    answers, answered = [], Counter[str]()
    for each in turn[len(asking) :]:
        call_id = each.message[TOOL_CALL_ID]
        if answered[call_id] < called[call_id]:
            answered[call_id] += 1
            answers.append(each.message)
        else:
            chat.left_out.append({"position": each.position, **message_entry(each.stored)})
    kept = asking if is_last else [_with_answered_calls(each, answered, chat) for each in asking]
    messages = [each.message for each in kept if each is not None]
    yield from [_join_messages(messages)] if len(messages) > 1 else messages
    yield from answers


def _with_answered_calls(
    placed: _PlacedMessage, answered: Counter[str], chat: Chat
) -> _PlacedMessage | None:
    """The message with those of its calls that are answered; None if nothing else is left.

    Counts down `answered`, how many answers there are to each id.
    """
    calls: list[Any] = []
    left_out: list[Any] = []
    for call in placed.calls:
        (calls if answered[call["id"]] else left_out).append(call)
        answered[call["id"]] -= bool(answered[call["id"]])
    if not left_out:
        return placed
    chat.left_out.append({"position": placed.position, **field_entry(TOOL_CALLS, left_out)})
    message = {name: value for name, value in placed.message.items() if name != TOOL_CALLS}
    if calls:
        message[TOOL_CALLS] = calls
    has_more = message.keys() - {"role", CONTENT, "name"} or message[CONTENT]
    return placed._replace(message=message) if has_more else None


def _join_messages(messages: Sequence[Json]) -> Json:
    """What the assistant said before the answers came, as one message."""
    fields = {name: value for message in messages for name, value in message.items()}
    calls = [call for message in messages for call in message.get(TOOL_CALLS, [])]
    contents = [message[CONTENT] for message in messages if message[CONTENT]]
    content = contents[0] if len(contents) == 1 else [p for each in contents for p in _parts(each)]
    return {**fields, CONTENT: content or None, **({TOOL_CALLS: calls} if calls else {})}


def _parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
