"""How fast convstore is, beside what is written by hand, the original, and its peers."""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.compare import Row, measured
from benchmarks.environments import Unavailable
from benchmarks.lab import DATABASES, Lab
from benchmarks.parts import PARTS, SHORT, Plan
from benchmarks.report import as_part, draw, figures, machine, save, saved, write_page
from benchmarks.scenario import Scenario
from benchmarks.subjects import Failed

FULL = Plan(Scenario(), DATABASES, rounds=5)
SMOKE = Plan(Scenario(conversations=3, seconds=0.05), DATABASES, rounds=1)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    add = parser.add_argument
    add("--what", default="", help=f"only these, comma-separated: {', '.join(PARTS)}")
    add("--databases", default=",".join(DATABASES), help="only these (%(default)s)")
    add("--rounds", type=int, help=f"runs of each subject (default: {FULL.rounds})")
    add("--seconds", type=float, help=f"of each run (default: {FULL.base.seconds})")
    add("--smoke", action="store_true", help="in seconds: only whether all answers are right")
    chosen = parser.parse_args()
    unknown = {name for name in chosen.what.split(",") if name} - set(PARTS)
    if unknown:
        parser.error(f"--what has {', '.join(unknown)}, which is none of {', '.join(PARTS)}")
    return chosen


def plan_of(chosen: argparse.Namespace) -> Plan:
    plan = SMOKE if chosen.smoke else FULL
    base = replace(plan.base, seconds=chosen.seconds or plan.base.seconds)
    return Plan(base, chosen.databases.split(","), chosen.rounds or plan.rounds)


def measure(lab: Lab, name: str, plan: Plan) -> list[Row]:
    """All rows of a part; none where this machine lacks what it needs."""
    rows: list[Row] = []
    with lab.part():
        try:
            rows += measured(name, list(PARTS[name](lab, plan)), plan.rounds)
        except Unavailable as missing:
            lab.left_out.append(str(missing))
    return rows


def versions(lab: Lab, kinds: Sequence[str]) -> Iterator[str]:
    for kind in kinds:
        if kind == "sqlite":
            yield f"SQLite {sqlite3.sqlite_version}"
        elif kind in vars(lab):  # it was started
            statement = "SHOW server_version" if kind == "postgresql" else "SELECT VERSION()"
            ((version,),) = lab.server(kind).execute(statement)
            yield f"{kind} {version}"


def main() -> None:
    chosen = options()
    plan, results, failed = plan_of(chosen), saved(), False
    names = chosen.what.split(",") if chosen.what else SHORT if chosen.smoke else list(PARTS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and end what was started
    with Lab() as lab:
        for name in names:
            begun, lab.left_out = time.monotonic(), []
            try:
                rows = measure(lab, name, plan)
            except Failed as error:
                failed = True
                print(error, file=sys.stderr)
                continue
            took = f"{time.monotonic() - begun:.0f} s"
            print(f"\n{name}: {took}", *figures(name, rows), *lab.left_out, sep="\n", flush=True)
            on = machine(versions(lab, plan.databases))
            title = (PARTS[name].__doc__ or "").strip()
            results["parts"][name] = as_part(rows, title, on, lab.left_out)
            if not chosen.smoke:
                save(results)
    if not chosen.smoke:
        results["parts"] = {n: results["parts"][n] for n in PARTS if n in results["parts"]}
        save(results)
        write_page(results)
        draw()
    sys.exit(failed)


if __name__ == "__main__":
    main()
