"""What a conversation must be while a client changes it: as before a change, or as after it.

Knows neither HTTP nor databases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class State:
    """Metadata, the highest position, and the items that are not erased, by their positions."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    last: int = 0
    items: tuple[tuple[int, str], ...] = ()

    def with_more(self, texts: Sequence[str]) -> State:
        added = tuple(enumerate(texts, self.last + 1))
        return replace(self, last=self.last + len(texts), items=self.items + added)

    def without(self, position: int) -> State:
        return replace(self, items=tuple(each for each in self.items if each[0] != position))

    def up_to(self, position: int) -> State:
        """Without what is behind a position; its highest position is that."""
        return replace(self, last=position, items=self._before(position + 1))

    def rewritten(self, start: int, texts: Sequence[str]) -> State:
        return replace(self, items=self._before(start)).with_more(texts)

    def _before(self, position: int) -> tuple[tuple[int, str], ...]:
        return tuple(each for each in self.items if each[0] < position)


class Talk:
    """One conversation and the states that it has had, one after the other. None: none was there.

    One client changes it, and others read it meanwhile.
    """

    def __init__(self, memory_id: str, state: State | None = None) -> None:
        self.memory_id = memory_id
        self.states: list[State | None] = [state]
        # The index of the newest state that it surely has, or had.
        self.sure = 0

    @property
    def now(self) -> State:
        state = self.states[-1]
        assert state is not None
        return state

    def begin(self, after: State | None) -> None:
        """From now on it may be so."""
        self.states.append(after)

    def end(self) -> None:
        """From now on it is so."""
        self.sure = len(self.states) - 1

    def possible(self, since: int) -> list[State | None]:
        """What it may have been since `sure` was that."""
        return self.states[since:]
