"""A command of ours as a subject: what it costs to start it, to its end or its first answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab import INFER, Lab
from benchmarks.scenario import Scenario
from benchmarks.stores.http import Session
from benchmarks.subjects import Failed, cpu_seconds
from testing.processes import ROOT, free_port, inherited_environment

SECONDS, PAUSE = 120, 0.005


@dataclass(frozen=True)
class Command:
    """`convstore NAME`. One that serves is measured to its first answer; then it is stopped."""

    name: str
    environment: Mapping[str, str]
    log: Path
    serves: bool = False

    def run(self, _: Scenario) -> dict[str, float]:
        """The time it took, and the CPU time of it and of all processes that it started."""
        port = str(free_port())
        begun = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "convstore", self.name],
            cwd=ROOT,
            env={**inherited_environment(), **self.environment, "PORT": port},
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                cpu = self._first_answer(process, port) if self.serves else self._end(process)
                took = time.perf_counter() - begun
            finally:
                process.terminate()
        return {"wall": took * 1e3, "cpu": cpu * 1e3}

    def _first_answer(self, process: subprocess.Popen[bytes], port: str) -> float:
        with closing(Session(f"http://127.0.0.1:{port}{INFER}")) as client:
            end = time.perf_counter() + SECONDS
            while process.poll() is None and time.perf_counter() < end:
                with suppress(OSError):
                    client.read("start", 1)
                    return cpu_seconds(process.pid)
                time.sleep(PAUSE)
        raise Failed(f"{self.name}: no answer\n{self.log.read_text()}")

    def _end(self, process: subprocess.Popen[bytes]) -> float:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"{self.name} ended with {process.returncode}\n{self.log.read_text()}")
        return used.ru_utime + used.ru_stime


def commands(lab: Lab, kind: str) -> list[Command]:
    """`serve` and `check` on a database that has its tables."""
    folder, environment = lab.memory(kind)
    serve = Command("serve", environment, folder / "log", serves=True)
    serve.run(Scenario())  # makes the tables
    return [serve, Command("check", environment, folder / "log")]
