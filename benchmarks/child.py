"""A process that holds one store and does what its parent says, one JSON line after another.

`python -m benchmarks.child MODULE:CLASS URL` runs in the environment of that store.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any

from benchmarks.checks import check, check_last
from benchmarks.load import fill, run
from benchmarks.scenario import Scenario, Store


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    def go() -> None:
        answer(ready=True)
        sys.stdin.readline()

    try:
        store = opened(*sys.argv[1:])
        answer(ready=True)
        while line := sys.stdin.readline():
            command, fields = json.loads(line)
            answer(done=do(store, command, Scenario(**fields), go))
    except Exception:
        answer(error=traceback.format_exc())


def opened(name: str, url: str) -> Store:
    module, _, name = name.partition(":")
    store: Store = getattr(import_module(module), name)(url)
    return store


def do(store: Store, command: str, scenario: Scenario, go: Any) -> Any:
    if command == "run":
        return run(store, scenario, go)
    if command == "fill":
        return fill(store, scenario)
    return check_last(store, scenario) if command == "check last" else check(store)


if __name__ == "__main__":
    main()
