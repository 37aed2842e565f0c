"""The panels of the first page: one for each database, with numbers and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.db import Error

from convstore.archive.overview import DAYS, Overview, read_overview
from convstore.database import faults
from inspection.databases import Database

# In SVG units: the height of the chart, the distance between two bars, and the width of a bar.
CHART_HEIGHT, BAR_STEP, BAR_WIDTH = 60, 10, 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of the chart."""

    date: date
    count: int
    x: int
    height: int

    @property
    def y(self) -> int:
        return CHART_HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Panel:
    """One database: either its `figures` and `bars`, or an `error` sentence."""

    database: Database
    error: str = ""
    figures: Overview | None = None
    bars: Sequence[Bar] = ()

    @property
    def chart(self) -> Mapping[str, int]:
        return {"width": DAYS * BAR_STEP, "height": CHART_HEIGHT, "bar_width": BAR_WIDTH}


def panel_of(database: Database) -> Panel:
    """The panel of a database. If the database fails, the panel says why."""
    try:
        figures = read_overview(database.alias)
    except Error as error:
        return Panel(database, error=faults.describe_error(database.alias, error))
    return Panel(database, figures=figures, bars=_bars(figures.new_by_day))


def _bars(counts: Mapping[date, int]) -> list[Bar]:
    highest = max(counts.values(), default=0) or 1
    return [
        Bar(day, count, x=n * BAR_STEP + 1, height=-(-CHART_HEIGHT * count // highest))
        for n, (day, count) in enumerate(counts.items())
    ]
