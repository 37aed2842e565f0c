"""A subject: a store in a process of its own, and whose CPU time it costs."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.scenario import Scenario
from testing.processes import ROOT


class Failed(Exception):
    """A store that answered wrongly, or not at all."""


@dataclass
class Subject:
    """A store in a child, the process of its service, and that of its database.

    Without a service, the store works in the child, which is the service then.
    """

    name: str
    child: subprocess.Popen[str]
    service: int | None = None
    database: int | None = None

    def ask(self, command: str, scenario: Scenario) -> Any:
        self._send(json.dumps([command, asdict(scenario)]))
        return self.answer("done")

    def run(self, scenario: Scenario) -> dict[str, float]:
        """What one run measured; `service` and `database` are CPU times in µs for one call."""
        self._send(json.dumps(["run", asdict(scenario)]))
        self.answer("ready")
        before = [cpu_seconds(self.service), cpu_seconds(self.database)]
        self._send("go")
        run = self.answer("done")
        after = [cpu_seconds(self.service), cpu_seconds(self.database)]
        service, database = (b - a for a, b in zip(before, after, strict=True))
        each = 1e6 / max(run["count"], 1)
        return {
            "rate": (run["count"] - run["failed"]) / run["seconds"],
            **{name: run[name] for name in ("p50", "p99", "max")},
            "service": (service if self.service else run["cpu"]) * each,
            "database": database * each,
        }

    def answer(self, name: str) -> Any:
        line = self.child.stdout.readline() if self.child.stdout else ""
        answer = json.loads(line) if line else {"error": f"it ended ({self.child.wait()})"}
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer[name]

    def _send(self, line: str) -> None:
        print(line, file=self.child.stdin, flush=True)

    def end(self) -> None:
        if self.child.stdin:
            self.child.stdin.close()  # then it has nothing left to do
        self.child.wait(30)


def start(name: str, store: str, url: str, python: Path | str, log: Path, **pids: Any) -> Subject:
    """A store, MODULE:CLASS, on `url` in a child that runs `python`."""
    child = subprocess.Popen(
        [python, "-m", "benchmarks.child", store, url],
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": "WARNING"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log.open("ab"),
        text=True,
    )
    subject = Subject(name, child, **pids)
    subject.answer("ready")
    return subject


def cpu_seconds(process_id: int | None) -> float:
    """The CPU time that a process and all below it have taken, those that have ended too."""
    if process_id is None:
        return 0.0
    top, seconds = psutil.Process(process_id), 0.0
    for process in (top, *top.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
