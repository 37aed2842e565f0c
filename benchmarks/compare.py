"""Subjects beside each other: runs in turn, again and again, and their medians."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tqdm import tqdm

from benchmarks.scenario import Scenario
from benchmarks.subjects import Subject

FIGURES = ("rate", "p50", "p99", "max", "service", "database")


@dataclass(frozen=True)
class Comparison:
    """One scenario for several subjects; each run happens `during` something."""

    database: str
    what: str
    scenario: Scenario
    subjects: Sequence[Subject]
    during: Callable[[Subject], AbstractContextManager[Any]] = lambda _: nullcontext()


@dataclass
class Row:
    """What was measured of one subject in one scenario: the medians, and each run's figures."""

    part: str
    database: str
    what: str
    subject: str
    runs: list[dict[str, float]] = field(default_factory=list)

    def __getitem__(self, figure: str) -> float:
        return statistics.median(run[figure] for run in self.runs)

    @property
    def cpu(self) -> list[float]:
        """The CPU time of service and database in each run, in µs for one call."""
        return [run["service"] + run["database"] for run in self.runs]


def measured(part: str, comparisons: Sequence[Comparison], rounds: int) -> Iterator[Row]:
    """Run the comparisons; in each round every subject has its turn, the other way every other."""
    total = rounds * sum(len(each.subjects) for each in comparisons)
    with tqdm(total=total, unit=" runs", mininterval=1 if sys.stderr.isatty() else 60) as bar:
        for each in comparisons:
            rows = {s.name: Row(part, each.database, each.what, s.name) for s in each.subjects}
            turns = [each.subjects, each.subjects[::-1]]
            for n, k in product(range(rounds), range(len(each.subjects))):
                subject = turns[n % 2][k]
                bar.set_description(f"{part}: {each.database}, {each.what}, {subject.name}")
                with each.during(subject):
                    rows[subject.name].runs.append(subject.run(each.scenario))
                bar.update()
            yield from rows.values()
