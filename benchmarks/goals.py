"""The goals: ratios of one run, what is wanted of them, and whether it was met."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.compare import Figures, Row

REPLY_MB = 5.0
DATABASES = ("sqlite", "postgresql", "mariadb")
# Our door, while nobody is slow.
CALM = "ours, nobody is slow"


@dataclass(frozen=True)
class Goal:
    """What is measured, the limit, and the figures, of which the worst counts."""

    what: str
    least: float | None
    most: float | None
    found: Sequence[float]

    @property
    def worst(self) -> float:
        return min(self.found) if self.most is None else max(self.found)

    @property
    def wanted(self) -> str:
        return f">= {self.least:g}" if self.most is None else f"<= {self.most:g}"

    @property
    def met(self) -> bool:
        return self.worst >= (self.least or 0) if self.most is None else self.worst <= self.most


class Rows:
    """What was measured, by name."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def of(self, part: str, database: str, what: str = "", subject: str = "") -> list[Row]:
        return [
            row
            for row in self.rows
            if (row.part, row.database) == (part, database)
            and row.what.startswith(what)
            and (not subject or row.subject == subject)
        ]

    def ratios(
        self,
        where: tuple[str, str, str],
        other: str,
        figure: Callable[[Figures], float],
        ours: str = "ours",
    ) -> list[float]:
        """Our figure divided by that of another subject: in each round, then the median."""
        pairs = zip(self.of(*where, ours), self.of(*where, other), strict=False)
        return [ratio(mine, their, figure) for mine, their in pairs]


def ratio(ours: Row, their: Row, figure: Callable[[Figures], float]) -> float:
    rounds = zip(ours.runs, their.runs, strict=True)
    return statistics.median(figure(a) / max(figure(b), 1e-9) for a, b in rounds)


def rate(run: Figures) -> float:
    return run["rate"]


def cpu(run: Figures) -> float:
    return run["service"] + run["database"]


def wall(run: Figures) -> float:
    return run["wall"]


def start_cpu(run: Figures) -> float:
    return run["cpu"]


def goals(measured: Sequence[Row]) -> Iterator[Goal]:
    """Every goal that something was measured for."""
    yield from (goal for goal in all_goals(Rows(measured)) if goal.found)


def all_goals(rows: Rows) -> Iterator[Goal]:
    hand = "by hand"
    for database, least in (("postgresql", 0.9), ("sqlite", 0.9), ("mariadb", 0.85)):
        where = ("store", database, "append, 8 threads")
        found = rows.ratios(where, hand, rate)
        yield Goal(f"{database}, in process, 8 threads: throughput by hand", least, None, found)
    hot = ("store", "postgresql", "append, one conversation")
    what = "postgresql, one conversation, 32 writers:"
    yield Goal(f"{what} throughput by hand", 0.9, None, rows.ratios(hot, hand, rate))
    found = rows.ratios(hot, hand, lambda run: run["p99"])
    yield Goal(f"{what} p99 by hand", None, 1.2, found)
    found = rows.ratios(
        ("store", "postgresql", "read"), "plain range of the key", lambda run: run["database"]
    )
    yield Goal("postgresql, read: database CPU of the plain range of the key", None, 1.5, found)
    for database in ("postgresql", "sqlite"):
        for what in ("append", "read"):
            found = rows.ratios(("http", database, what), hand, cpu)
            yield Goal(f"{database}, HTTP {what}: CPU by hand", None, 1.25, found)
    found = rows.ratios(("http", "postgresql", "append"), "stand-in of the original", rate)
    yield Goal("postgresql, HTTP append: throughput of the original's stand-in", 4, None, found)
    found = rows.ratios(("network", "postgresql", "append"), "Django ORM", rate)
    yield Goal("postgresql, 1 ms away, 8 writers: throughput of the ORM", 8, None, found)
    yield Goal("history of 1,000,000: time of one of 100", None, 1.1, list(growth(rows)))
    found = [
        row["memory"] / REPLY_MB
        for database in ("sqlite", "postgresql")
        for row in rows.of("images", database, subject="ours")
    ]
    yield Goal("5 images of 1 MB: peak memory by size of the reply", None, 3, found)
    yield Goal("the best peer's throughput, every length of history", 1, None, list(lead(rows)))
    slow = {row.database for row in rows.rows if row.part == "slow"}
    found = [each for database in slow for each in rows.ratios(("slow", database, ""), CALM, rate)]
    yield Goal("20 slow clients: throughput without them", 0.9, None, found)
    found = [row["health"] for database in slow for row in rows.of("slow", database, "", "ours")]
    yield Goal("20 slow clients: health check, ms", None, 100, found)
    for name, figure in {"time": wall, "CPU": start_cpu}.items():
        found = [
            each
            for database in DATABASES
            for each in rows.ratios(("start", database, ""), "check", figure, "serve")
        ]
        yield Goal(f"start to the first answer: {name} of `convstore check`", None, 1.5, found)


def growth(rows: Rows) -> Iterator[float]:
    for database in ("sqlite", "postgresql"):
        for what in ("append", "read"):
            lengths = rows.of("history", database, what)
            if lengths:
                yield ratio(lengths[-1], lengths[0], lambda run: run["p50"])


def lead(rows: Rows) -> Iterator[float]:
    for database in ("sqlite", "postgresql"):
        for ours in rows.of("peers", database, subject="ours"):
            for row in rows.of("peers", database):
                if row.x == ours.x and row is not ours:
                    yield ratio(ours, row, rate)
