"""Which messages a window holds: what was asked for, the limits on each reply, and the choice.

It knows no storage: the choice is made of the messages' measures, before their bodies are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

from convstore.messages import TOOL_CALL_ID, TOOL_CALLS

MESSAGE, TOOL_PAIR = "message", "tool_pair"
UNITS = (MESSAGE, TOOL_PAIR)
# Which rows a window holds: messages of a chat, or also what is no part of one, such as reasoning.
MESSAGES, ALL = "messages", "all"
ITEMS = (MESSAGES, ALL)
ASSISTANT, TOOL = "assistant", "tool"
# The estimate where nobody has counted: so many bytes of a message's JSON are one token.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """At most `size` messages and, if given, at most so many `tokens`.

    With the unit "tool_pair", no answer of a tool is there without its call. The messages that
    the newest one answers with, and their call, are there beyond `size` and `tokens`. With the
    `items` "all", messages are there too whose `in_windows` is false.
    """

    size: int
    unit: str = MESSAGE
    tokens: int | None = None
    items: str = MESSAGES

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"the size of a window is {self.size}; it must be at least 1")
        if self.unit not in UNITS:
            raise ValueError(f"the unit of a window is {self.unit!r}; it must be one of {UNITS}")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"the tokens of a window are {self.tokens}; it must be at least 1")
        if self.items not in ITEMS:
            raise ValueError(f"the items of a window are {self.items!r}; it must be one of {ITEMS}")


@dataclass(frozen=True)
class Reading:
    """What a transaction reads: the window's options, and the limits on each reply.

    With `truncate`, a window that is over a limit holds the newest messages that fit, be there
    none; without, it is refused. `expected_position`: add only if this is the highest position; 0
    if there is no message.
    """

    size: int
    unit: str
    tokens: int | None
    max_bytes: int
    max_messages: int
    truncate: bool
    expected_position: int | None = None
    items: str = MESSAGES

    @cached_property
    def is_plain(self) -> bool:
        """Whether the last `size` messages are asked for, and nothing else."""
        return (
            self.unit == MESSAGE
            and self.tokens is None
            and self.expected_position is None
            and self.items == MESSAGES
            and self.size <= self.max_messages
        )

    @cached_property
    def json(self) -> str:
        """As a function of a database takes it; what is not asked for is not there."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(fields)


class Measures(NamedTuple):
    """What is known of a message without its body. `tokens` is None if nobody has counted."""

    position: int
    role: str
    size: int
    tokens: int | None = None

    @property
    def cost(self) -> int:
        """Its tokens, as they were counted or else estimated."""
        return -(-self.size // BYTES_PER_TOKEN) if self.tokens is None else self.tokens


class Limit(StrEnum):
    """A limit on each reply."""

    BYTES = "bytes"
    MESSAGES = "messages"


class Choice(NamedTuple):
    """The `length` newest messages, and the pinned one before them if `with_pinned`.

    If more were asked for, `limit` is what left them out. `fitting_size` is the largest size whose
    window is within the limits; 0 if there is none.
    """

    length: int
    with_pinned: bool
    limit: Limit | None = None
    fitting_size: int = 0


def choose(newest: Sequence[Measures], pinned: Measures | None, reading: Reading) -> Choice:
    """The window out of the newest messages, the last one first.

    `newest` has at least as many as the window may hold, without the `pinned` one.
    """
    first = [] if pinned is None else [pinned]
    group = _group_length(newest, reading.unit)
    wanted = max(group, min(len(newest), reading.size - len(first)))
    if reading.tokens is not None:
        left = reading.tokens - sum(message.cost for message in first)
        wanted = max(group, _count_within(left, newest[:wanted], lambda each: each.cost))
    room, limit = _room(newest, first, reading)
    if wanted <= room:
        return Choice(wanted, pinned is not None)
    if room >= group:
        return Choice(room, pinned is not None, limit, room + len(first))
    # The newest messages come before the pinned one. A window of one message has none.
    room = min(wanted, _room(newest, [], reading)[0])
    return Choice(room, False, limit, 1 if first and room >= group else 0)


def _group_length(newest: Sequence[Measures], unit: str) -> int:
    """How many of the newest messages are always there: the last one, and if that answers a
    call of a tool, all messages back to the call."""
    if unit == TOOL_PAIR:
        for n, message in enumerate(newest):
            if message.role != TOOL:
                return n + 1
        return len(newest)
    return min(1, len(newest))


def _room(
    newest: Sequence[Measures], first: Sequence[Measures], reading: Reading
) -> tuple[int, Limit]:
    """How many of the newest messages are within the limits beside `first`, and which limit leaves
    out those before them."""
    left = reading.max_bytes - sum(message.size for message in first)
    some = newest[: reading.max_messages - len(first)]
    room = _count_within(left, some, lambda message: message.size)
    return room, Limit.MESSAGES if room == len(some) else Limit.BYTES


def _count_within(
    left: int, messages: Sequence[Measures], measure: Callable[[Measures], int]
) -> int:
    """How many of the messages have, one after another, not more than `left` together."""
    for n, message in enumerate(messages):
        left -= measure(message)
        if left < 0:
            return n
    return len(messages)


class Row(Protocol):
    """A message as it is stored; `body` is its JSON."""

    @property
    def role(self) -> str: ...

    @property
    def body(self) -> str: ...


AnyRow = TypeVar("AnyRow", bound=Row)


def without_orphans(window: Sequence[AnyRow]) -> list[AnyRow]:
    """The window, oldest first, without the answers of tools whose call is not before them.

    So it begins behind the answers of a call that it does not hold.
    """
    called: set[str] = set()
    kept = []
    for row in window:
        if row.role == TOOL:
            if json.loads(row.body).get(TOOL_CALL_ID) not in called:
                continue
        elif row.role == ASSISTANT and f'"{TOOL_CALLS}": ' in row.body:
            called.update(_call_ids(row.body))
        kept.append(row)
    return kept


def _call_ids(body: str) -> list[str]:
    calls = json.loads(body).get(TOOL_CALLS)
    if not isinstance(calls, list):
        return []
    ids = [call.get("id") for call in calls if isinstance(call, dict)]
    return [each for each in ids if isinstance(each, str)]
