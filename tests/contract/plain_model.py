"""The contract as a plain model: lists in memory, and no transaction, lock or database.

What a request asks for beside its messages is in `Asked`; how a reply is cut out of a history is
in `window`. A new parameter is a field of the first, and a line in the second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PINNED = ("system", "developer")
DEFAULT_WINDOW = 50


@dataclass(frozen=True)
class Said:
    """A message: its role and its parts of text."""

    role: str
    parts: tuple[str, ...]

    @property
    def element(self) -> str:
        content = [{"type": "text", "value": part} for part in self.parts]
        return json.dumps({"role": self.role, "content": content}, ensure_ascii=False)


@dataclass(frozen=True)
class Asked:
    """The parameters of a request, but for its key."""

    window_size: int | None = None
    positions: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        size = {} if self.window_size is None else {"window_size": self.window_size}
        return size | ({"positions": True} if self.positions else {})


@dataclass(frozen=True)
class Expected:
    """What a reply has to hold."""

    history: list[str]
    parameters: dict[str, int]


def window(history: Sequence[Said], asked: Asked) -> Expected:
    """The reply to a request after which the history is this."""
    size = DEFAULT_WINDOW if asked.window_size is None else asked.window_size
    numbered = list(enumerate(history, 1))
    chosen = numbered[-size:]
    if len(numbered) > size >= 2 and history[0].role in PINNED:
        chosen = [numbered[0], *numbered[-(size - 1) :]]
    places = [position for position, _ in chosen]
    positions = {"first_position": places[0], "last_position": places[-1]} if places else {}
    return Expected([said.element for _, said in chosen], positions if asked.positions else {})


@dataclass
class Conversation:
    """What is stored under one memory_id, and which keys came with what."""

    history: list[Said] = field(default_factory=list)
    keys: dict[str, tuple[tuple[Said, ...], int]] = field(default_factory=dict)

    def read(self, asked: Asked) -> Expected:
        return window(self.history, asked)

    def add(self, said: Sequence[Said], asked: Asked, key: str | None = None) -> Expected | None:
        """The reply to a request that adds messages; None if it is refused."""
        if key is not None and key in self.keys:
            first, last = self.keys[key]
            return window(self.history[:last], asked) if first == tuple(said) else None
        self.history += said
        if key is not None:
            self.keys[key] = (tuple(said), len(self.history))
        return window(self.history, asked)
