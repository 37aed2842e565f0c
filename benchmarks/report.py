"""What was measured, as JSON, as Markdown in the documentation, and as plots."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compare import Row
from benchmarks.environments import python_for
from benchmarks.goals import goals
from testing.processes import ROOT

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
BLOCK = re.compile(r"(<!-- measured: make bench -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS = ("rate", "p50", "p99", "max", "service", "database", "memory", "health", "wall", "cpu")
HEADS = {
    "rate": "calls/s",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "max": "max ms",
    "service": "service µs",
    "database": "database µs",
    "memory": "peak MB",
    "health": "health ms",
    "wall": "wall ms",
    "cpu": "CPU ms",
}
X = {
    "clients": "clients",
    "window": "window",
    "size": "characters",
    "history": "history",
    "peers": "history",
}


def machine(databases: Iterable[str]) -> str:
    """What was measured on."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    processor = found[1] if found else platform.machine()
    return f"{processor}, {cores} cores, {memory:.0f} GiB; {system}; {', '.join(databases)}"


def save(results: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def saved() -> dict[str, Any]:
    """The results of earlier runs, of which a run of some parts replaces those."""
    if RESULTS.exists():
        results: dict[str, Any] = json.loads(RESULTS.read_text())
        return results
    return {"parts": {}}


def as_part(rows: Sequence[Row], title: str, on: str, left_out: Sequence[str]) -> dict[str, Any]:
    """A part's results, rounded to what the clock can tell."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    found = [asdict(row) for row in rows]
    for row in found:
        row["runs"] = [{name: round(v, 3) for name, v in run.items()} for run in row["runs"]]
    return {"title": title, "day": day, "machine": on, "left_out": left_out, "rows": found}


def rows_of(part: dict[str, Any]) -> list[Row]:
    return [Row(**row) for row in part["rows"]]


# --- Markdown ----------------------------------------------------------------------------


def write_page(results: dict[str, Any]) -> None:
    lines = "\n".join(page(results["parts"]))
    text = BLOCK.sub(lambda found: f"{found[1]}{lines}\n{found[2]}", PAGE.read_text())
    PAGE.write_text(text)


def page(parts: dict[str, Any]) -> Iterator[str]:
    machines = sorted({f"{part['machine']} ({part['day']})" for part in parts.values()})
    yield from ("", "Measured on:", "", *(f"- {each}" for each in machines), "")
    yield from ("### Goals", "")
    rows = [row for part in parts.values() for row in rows_of(part)]
    yield from table(
        ("measured by", "goal", "measured", "met"),
        (
            (goal.what, goal.wanted, f"{goal.worst:.2f}", "yes" if goal.met else "**no**")
            for goal in goals(rows)
        ),
    )
    for name, part in parts.items():
        yield from ("", f"### {name}", "", part["title"], "")
        yield from (f"Left out: {each}\n" for each in part["left_out"])
        yield from figures(name, rows_of(part))
        if name in X:
            yield from ("", f"![{part['title']}](../images/bench-{name}.svg)")
    yield ""


def figures(name: str, rows: Sequence[Row]) -> Iterator[str]:
    columns = [each for each in COLUMNS if all(each in row.runs[0] for row in rows)]
    heads = ["database", "", *([X[name]] if name in X else []), "subject"]
    body = (
        [row.database, row.what, *([f"{row.x:,}"] if name in X else []), row.subject]
        + [number(row[each]) for each in columns]
        for row in rows
    )
    yield from table([*heads, *(HEADS[each] for each in columns)], body)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---:' if head in HEADS.values() else '---' for head in heads)}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- Plots -------------------------------------------------------------------------------


def draw() -> None:
    """Draw the plots, with the library that the benchmark's environment has."""
    images = ROOT / "docs" / "images"
    python = str(python_for("plots"))
    command = [python, "-m", "benchmarks.plots", str(RESULTS), str(images)]
    subprocess.run(command, cwd=ROOT, check=True)
