"""How fast convstore is, beside what is written by hand, the original, and its peers."""

from __future__ import annotations

import argparse
import sys

from benchmarks.compare import Row, measured
from benchmarks.environments import Unavailable
from benchmarks.lab import DATABASES, Lab
from benchmarks.parts import PARTS, Plan
from benchmarks.scenario import Scenario

SHORT = Plan(Scenario(conversations=3, seconds=0.1), DATABASES, rounds=1)
FULL = Plan(Scenario(), DATABASES, rounds=5)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    add = parser.add_argument
    add("parts", nargs="*", metavar="WHAT", help=f"only these of {', '.join(PARTS)}")
    add("--databases", default=",".join(DATABASES), help="only these (%(default)s)")
    add("--smoke", action="store_true", help="in seconds: only whether all answers are right")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    plan = SHORT if chosen.smoke else FULL
    plan = Plan(plan.base, chosen.databases.split(","), plan.rounds)
    rows: list[Row] = []
    with Lab() as lab:
        for name in chosen.parts or PARTS:
            try:
                rows += measured(name, list(PARTS[name](lab, plan)), plan.rounds)
            except Unavailable as missing:
                print(f"{name} is left out: {missing}", file=sys.stderr)
    for row in rows:
        figures = " ".join(
            f"{row[f]:9.1f}" for f in ("rate", "p50", "p99", "max", "service", "database")
        )
        print(f"{row.part:9} {row.database:11} {row.what:40} {row.subject:28} {figures}")


if __name__ == "__main__":
    main()
