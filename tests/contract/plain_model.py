"""The contract as a plain model: lists in memory, and no transaction, lock or database.

What a request asks for beside its messages is in `Asked`; how a reply is cut out of a history is
in `window`. A new parameter is a field of the first, and a line in the second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PINNED = ("system", "developer")
DEFAULT_WINDOW = 50
TOOL_PAIR = "tool_pair"
# Why a request is refused.
KEY_REUSED, WRONG_POSITION = "key reused", "wrong position"


@dataclass(frozen=True)
class Said:
    """A message: its role, its parts of text, the ids of its calls, and of the one it answers."""

    role: str
    parts: tuple[str, ...]
    calls: tuple[str, ...] = ()
    answers: str = ""

    @property
    def call_texts(self) -> list[str]:
        return [json.dumps({"id": each, "type": "function"}) for each in self.calls]

    @property
    def element(self) -> str:
        content = [{"type": "text", "value": part} for part in self.parts]
        said: dict[str, Any] = {"role": self.role, "content": content}
        if self.calls:
            said["tool_calls"] = [json.loads(text) for text in self.call_texts]
        if self.answers:
            said["tool_call_id"] = self.answers
        return json.dumps(said, ensure_ascii=False)

    @property
    def cost(self) -> int:
        """A quarter of its bytes, in tokens."""
        return -(-len(self.element.encode()) // 4)


@dataclass(frozen=True)
class Asked:
    """The parameters of a request, but for its key."""

    window_size: int | None = None
    window_unit: str | None = None
    window_tokens: int | None = None
    positions: bool | None = None
    expected_position: int | None = None
    stale: bool | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Expected:
    """What a reply has to hold."""

    history: list[str]
    parameters: dict[str, int]


def window(history: Sequence[Said], asked: Asked) -> Expected:
    """The reply to a request after which the history is this."""
    size = asked.window_size or DEFAULT_WINDOW
    numbered = list(enumerate(history, 1))
    is_pinned = len(history) > 1 and size > 1 and history[0].role in PINNED
    pinned, newest = numbered[:is_pinned], numbered[is_pinned:][::-1]
    group = group_length(newest) if asked.window_unit == TOOL_PAIR else 1
    length = min(size - len(pinned), len(newest))
    if asked.window_tokens is not None:
        left = asked.window_tokens - sum(said.cost for _, said in pinned)
        length = min(length, count_within(left, [said.cost for _, said in newest]))
    chosen = [*pinned, *newest[: max(group, length)][::-1]]
    if asked.window_unit == TOOL_PAIR:
        chosen = without_orphans(chosen)
    places = [position for position, _ in chosen]
    positions = {"first_position": places[0], "last_position": places[-1]} if places else {}
    return Expected([said.element for _, said in chosen], positions if asked.positions else {})


Numbered = tuple[int, Said]


def group_length(newest: Sequence[Numbered]) -> int:
    """The newest message, and if it is an answer, those back to its call."""
    others = [n for n, (_, said) in enumerate(newest, 1) if said.role != "tool"]
    return others[0] if others else len(newest)


def count_within(left: int, costs: Sequence[int]) -> int:
    return next((n for n in range(len(costs)) if sum(costs[: n + 1]) > left), len(costs))


def without_orphans(chosen: Sequence[Numbered]) -> list[Numbered]:
    return [
        each
        for n, each in enumerate(chosen)
        if each[1].role != "tool"
        or any(each[1].answers in said.calls for _, said in chosen[:n] if said.role == "assistant")
    ]


@dataclass
class Conversation:
    """What is stored under one memory_id, and which keys came with what."""

    history: list[Said] = field(default_factory=list)
    keys: dict[str, tuple[tuple[Said, ...], int]] = field(default_factory=dict)

    def read(self, asked: Asked) -> Expected:
        return window(self.history, asked)

    def add(self, said: Sequence[Said], asked: Asked, key: str | None = None) -> Expected | str:
        """The reply to a request that adds messages, or why it is refused."""
        if key is not None and key in self.keys:
            first, last = self.keys[key]
            return window(self.history[:last], asked) if first == tuple(said) else KEY_REUSED
        if asked.expected_position not in (None, len(self.history)):
            return WRONG_POSITION
        self.history += said
        if key is not None:
            self.keys[key] = (tuple(said), len(self.history))
        return window(self.history, asked)
