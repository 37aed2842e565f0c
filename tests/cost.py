"""CPU time, to compare two inputs with each other: how fast the machine is makes no difference."""

from __future__ import annotations

import time
from collections.abc import Callable

from testing.processes import Process, process_group

ENOUGH_SECONDS = 0.1


def cpu_seconds(act: Callable[[], object], *, limit: float = 0) -> float:
    """What `act` takes of this thread's CPU time: the best of three runs, or of ten if it is quick.

    On a busy machine one run alone can take several times as long. Where the question is
    whether it takes less than `limit`, a run that does is the last.
    """
    runs: list[float] = []
    while len(runs) < 3 or (sum(runs) < ENOUGH_SECONDS and len(runs) < 10):
        begun = time.thread_time()
        act()
        runs.append(time.thread_time() - begun)
        if runs[-1] < limit:
            break
    return min(runs)


def cpu_seconds_of(service: Process) -> float:
    """The CPU time that the processes of a running service have taken so far."""
    times = [process.cpu_times() for process in process_group(service.process.pid)]
    return sum(each.user + each.system for each in times)
