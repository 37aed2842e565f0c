"""What is asked of a store: a scenario, and the form that every store has.

The standard library only: this runs in the environment of every store that is measured.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

WORDS = ("what", "was", "said", "here", "some", "time", "ago", "and", "is", "now", "asked", "for")
ROLES = ("user", "assistant")


class TextMessage(NamedTuple):
    """A message of one part. Its text is plain ASCII, and JSON as it is."""

    role: str
    kind: str
    text: str


class Session(Protocol):
    """What one thread does with a store; `elements` makes texts of what a call returned."""

    def append(self, conversation: str, message: TextMessage, window: int) -> Any: ...
    def read(self, conversation: str, window: int) -> Any: ...
    def elements(self, answer: Any) -> Sequence[str]: ...
    def close(self) -> None: ...


class Store(Protocol):
    """A subject of the benchmark; `exact` where it promises what convstore does."""

    exact: bool

    def session(self) -> Session: ...
    def fill(self, conversation: str, messages: Sequence[TextMessage], copies: int) -> None:
        """Make a conversation of `messages`, again and again, `copies` times in all."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that is measured: how many threads do what, on what, for how long."""

    operation: str = "append"
    threads: int = 8
    conversations: int = 1_000
    length: int = 60
    window: int = 50
    size: int = 200
    kind: str = "text"
    seconds: float = 2.0
    # Whether calls that are not measured come first.
    warm: bool = True
    # Whether clients may fail, as those of a door that others keep busy.
    failing: bool = False

    def names(self) -> list[str]:
        return [f"{self.kind}-{self.length}x{self.size}-{n}" for n in range(self.conversations)]

    def message(self, token: str, role: str = "user") -> TextMessage:
        return TextMessage(role, self.kind, f"{token} {filler(self.size)}")


_fillers: dict[int, list[str]] = {}


def filler(size: int) -> str:
    """Words that a database cannot compress away, `size` characters of them."""
    if size not in _fillers:
        chance = random.Random(size)
        texts = [" ".join(chance.choices(WORDS, k=min(size, 2_000) // 3 + 1)) for _ in range(20)]
        _fillers[size] = [
            text[:size] if size <= 2_000 else chance.randbytes(size // 2).hex() for text in texts
        ]
    return random.choice(_fillers[size])


class WrongAnswer(Exception):
    """A window that is not the last messages of its conversation."""


def expect(answer: Sequence[str], wanted: Sequence[str]) -> None:
    if len(answer) != len(wanted) or not all(map(str.__contains__, answer, wanted)):
        shown = [element[:60] for element in answer]
        raise WrongAnswer(f"{len(answer)} messages, not {len(wanted)}: {shown}")
