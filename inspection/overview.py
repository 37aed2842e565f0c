"""The panels of the first page: one for each database, with numbers and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from django.db import Error

from convstore.archive.overview import DAYS, Overview, read_overview
from convstore.database import faults
from inspection.databases import Database
from inspection.health import Health
from inspection.models import DayCount

# In SVG units: the height of the chart, the distance between two bars, and the width of a bar.
CHART_HEIGHT, BAR_STEP, BAR_WIDTH = 60, 10, 8
NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of the chart; `count` is None if the day was not counted."""

    date: date
    count: int | None
    x: int
    height: int

    @property
    def y(self) -> int:
        return CHART_HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Chart:
    """What happened on each of DAYS days. `total` is for people."""

    title: str
    total: str
    bars: Sequence[Bar]
    precision: str = ""

    @property
    def highest(self) -> int:
        return max((bar.count or 0 for bar in self.bars), default=0)

    @property
    def middle(self) -> date:
        return self.bars[len(self.bars) // 2].date

    @property
    def size(self) -> Mapping[str, int]:
        return {"width": DAYS * BAR_STEP, "height": CHART_HEIGHT, "bar_width": BAR_WIDTH}


@dataclass(frozen=True, slots=True)
class Panel:
    """One database: either its `figures` and `charts`, or an `error` sentence.

    `health` has memories' names.
    """

    database: Database
    error: str = ""
    figures: Overview | None = None
    charts: Sequence[Chart] = ()
    health: Sequence[tuple[str, Health]] = ()

    @property
    def is_empty(self) -> bool:
        return self.figures is not None and not self.figures.conversations.value


def panel_of(
    database: Database,
    health: Mapping[str, Health] = NOTHING,
    counted: Mapping[date, DayCount] = NOTHING,
) -> Panel:
    """The panel of a database. If the database fails, the panel says why."""
    asked = [(name, health[name]) for name in database.memories if name in health]
    try:
        figures = read_overview(database.alias)
    except Error as error:
        sentence = faults.describe_error(database.alias, error)
        return Panel(database, error=sentence, health=asked)
    return Panel(database, "", figures, _charts(figures, counted), asked)


def _charts(figures: Overview, counted: Mapping[date, DayCount]) -> list[Chart]:
    exact = {day: each.conversations for day, each in counted.items()}
    begun = {day: exact.get(day, count) for day, count in figures.new_by_day.items()}
    precision = figures.new.precision
    charts = [Chart("New conversations per day", str(figures.new), _bars(begun), precision)]
    if counted:
        messages = {day: counted[day].messages if day in counted else None for day in begun}
        total = sum(number or 0 for number in messages.values())
        charts.append(Chart("Messages per day", f"{total:,}", _bars(messages)))
    return charts


def _bars(counts: Mapping[date, int | None]) -> list[Bar]:
    highest = max((count or 0 for count in counts.values()), default=0) or 1
    return [
        Bar(day, count, x=n * BAR_STEP + 1, height=-(-CHART_HEIGHT * (count or 0) // highest))
        for n, (day, count) in enumerate(counts.items())
    ]
