"""Subjects beside each other: runs in turn, again and again, and their medians."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from tqdm import tqdm

from benchmarks.scenario import Scenario

Figures = dict[str, float]
# The figures of which one run is enough to break a promise.
WORST = ("memory", "health")


class Measured(Protocol):
    """What a turn runs: a store in a child, or a command."""

    @property
    def name(self) -> str: ...
    def run(self, scenario: Scenario, /) -> Figures: ...


@dataclass(frozen=True)
class Turn:
    """A subject and what it does; `x` is where a plot of the part shows it.

    Each run happens `during` something, which may add figures.
    """

    subject: Measured
    scenario: Scenario
    x: int = 0
    during: Callable[[Any], AbstractContextManager[Figures]] = lambda _: nullcontext({})


@dataclass(frozen=True)
class Comparison:
    """Turns that are compared."""

    database: str
    what: str
    turns: Sequence[Turn]


@dataclass
class Row:
    """What was measured in one turn: each run's figures, and their medians or their worst."""

    part: str
    database: str
    what: str
    subject: str
    x: int
    runs: list[Figures] = field(default_factory=list)

    def __getitem__(self, figure: str) -> float:
        summary = max if figure in WORST else statistics.median
        return summary(run[figure] for run in self.runs)


def compare(
    database: str, what: str, scenario: Scenario, subjects: Sequence[Measured], x: int = 0
) -> Comparison:
    """Several subjects that do the same."""
    return Comparison(database, what, [Turn(subject, scenario, x) for subject in subjects])


def measured(part: str, comparisons: Sequence[Comparison], rounds: int) -> Iterator[Row]:
    """Run the comparisons; every other round takes the turns the other way."""
    total = rounds * sum(len(each.turns) for each in comparisons)
    interval = 1 if sys.stderr.isatty() else 60
    with tqdm(total=total, desc=part, unit=" runs", mininterval=interval) as bar:
        for each in comparisons:
            rows = [
                Row(part, each.database, each.what, turn.subject.name, turn.x)
                for turn in each.turns
            ]
            turns = list(zip(each.turns, rows, strict=True))
            for n in range(rounds):
                for turn, row in turns[:: -1 if n % 2 else 1]:
                    bar.set_description(f"{part}: {each.database}, {each.what}, {row.subject}")
                    with turn.during(turn.subject) as more:
                        run = turn.subject.run(turn.scenario)
                    row.runs.append(run | more)
                    bar.update()
            yield from rows
