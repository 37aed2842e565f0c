"""The plots of the benchmark, as SVG: `python -m benchmarks.plots RESULTS FOLDER`."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# The same text in each run, and letters as letters.
mpl.rcParams |= {"svg.hashsalt": "convstore", "svg.fonttype": "none", "font.size": 9}

from matplotlib import pyplot as plt  # noqa: E402

COST, TIME, RATE = "CPU µs for one append", "p50 ms", "calls/s"
# What each plot shows: the axes, and the scale of the vertical one.
PLOTS = {
    "clients": ("clients", COST, "linear"),
    "window": ("messages in the window", COST, "linear"),
    "size": ("characters of a message", COST, "log"),
    "history": ("messages in the conversation", TIME, "linear"),
    "peers": ("messages in the conversation", RATE, "log"),
}


def value(run: dict[str, float], figure: str) -> float:
    return {
        COST: run["service"] + run["database"],
        TIME: run["p50"],
        RATE: run["rate"],
    }[figure]


def lines(rows: list[dict[str, Any]], figure: str) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        name = f"{row['subject']}, {row['what']}" if figure == TIME else row["subject"]
        y = statistics.median(value(run, figure) for run in row["runs"])
        found.setdefault(name, []).append((row["x"], y))
    return found


def draw(rows: list[dict[str, Any]], x: str, figure: str, scale: str, path: Path) -> None:
    """One panel for each database; ours is the thick line."""
    databases = list(dict.fromkeys(row["database"] for row in rows))
    size = (4.5 * len(databases) + 1, 3.4)
    drawing, panels = plt.subplots(
        1, len(databases), figsize=size, squeeze=False, layout="constrained"
    )
    for panel, database in zip(panels[0], databases, strict=True):
        here = [row for row in rows if row["database"] == database]
        for name, points in lines(here, figure).items():
            width = 2.5 if name.startswith("ours") else 1
            panel.plot(*zip(*points, strict=True), marker="o", ms=3, lw=width, label=name)
        panel.set(title=database, xlabel=x, ylabel=figure, xscale="log", yscale=scale)
        if scale == "linear":
            panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    drawing.savefig(path, metadata={"Date": None})
    plt.close(drawing)


def main() -> None:
    results, folder = map(Path, sys.argv[1:])
    parts = json.loads(results.read_text())["parts"]
    for name in parts.keys() & PLOTS.keys():
        draw(parts[name]["rows"], *PLOTS[name], folder / f"bench-{name}.svg")


if __name__ == "__main__":
    main()
