"""Metrics of several worker processes: counted without loss, whichever thread or process counts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

# Each case is a script of its own: the class of values is chosen as a process begins.
BEGIN = """
import os, signal, sys, threading
from memory_api.metric_files import share_metrics
share_metrics()
from prometheus_client import Counter, Histogram, Summary
said = Counter("said", "Said", ["who"])
took = Summary("took", "Took", ["who"])
size = Histogram("size", "Size", ["who"], buckets=(1, 10))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def run(folder: Path, script: str) -> int:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", BEGIN + script]
    return subprocess.run(command, env=environment, timeout=60).returncode


def samples(folder: Path) -> dict[str, float]:
    """Each sample by its name and labels, all processes added up."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def sample(folder: Path, name: str, **labels: Any) -> float:
    return samples(folder)[f"{name}{json.dumps(labels, sort_keys=True)}"]


def test_a_number_is_there_as_soon_as_it_was_counted(folder):
    script = """
said.labels("é").inc(2.5)
took.labels("a").observe(3)
size.labels("a").observe(0.5), size.labels("a").observe(7), size.labels("a").observe(70)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(folder, script) == -signal.SIGKILL
    assert sample(folder, "said_total", who="é") == 2.5
    assert sample(folder, "took_count", who="a") == 1
    assert sample(folder, "took_sum", who="a") == 3
    assert sample(folder, "size_sum", who="a") == 77.5
    buckets = [
        sample(folder, "size_bucket", who="a", le=bound) for bound in ("1.0", "10.0", "+Inf")
    ]
    assert buckets == [1, 2, 3]


def test_processes_add_up_and_the_dead_ones_stay_counted(folder):
    for n in (1, 2, 3):
        assert run(folder, f"said.labels('a').inc({n}); said.labels('only {n}').inc()") == 0
    assert sample(folder, "said_total", who="a") == 6
    assert sample(folder, "said_total", who="only 2") == 1


def test_threads_lose_nothing(folder):
    script = """
sys.setswitchinterval(1e-6)
def count():
    for _ in range(20_000):
        said.labels("a").inc()
        took.labels("a").observe(0.5)
threads = [threading.Thread(target=count) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
"""
    assert run(folder, script) == 0
    assert sample(folder, "said_total", who="a") == 160_000
    assert sample(folder, "took_sum", who="a") == 80_000


def test_a_process_that_was_forked_counts_for_itself(folder):
    script = """
said.labels("a").inc(5)
child = os.fork()
if child == 0:
    said.labels("a").inc(10)
    said.labels("child").inc()
    os._exit(0)
os.waitpid(child, 0)
said.labels("a").inc(100)
"""
    assert run(folder, script) == 0
    assert sample(folder, "said_total", who="a") == 115
    assert sample(folder, "said_total", who="child") == 1


def test_a_file_that_grows_keeps_all_numbers(folder):
    script = """
counters = [said.labels(f"{n} " + "x" * n) for n in range(1000)]
for _ in range(3):
    for counter in counters:
        counter.inc()
"""
    assert run(folder, script) == 0
    assert set(samples(folder).values()) == {3}
    assert len(samples(folder)) == 1000


def test_the_files_are_those_that_the_collector_reads(folder):
    assert run(folder, "said.labels('a').inc(); took.labels('a').observe(1)") == 0
    names = sorted(path.name for path in folder.iterdir())
    assert [re.sub("_.*", "", name) for name in names] == ["counter", "summary"]
    assert all(path.endswith(".db") for path in names)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.db"))


MERGE = "from memory_api.metric_files import merge_dead_files; merge_dead_files()"


def test_files_of_dead_processes_become_one_of_each_type(folder):
    for n in (1, 2, 3):
        assert run(folder, f"said.labels('a').inc({n}); size.labels({n}).observe({n})") == 0
    before = samples(folder)
    assert len(files(folder)) == 6
    for _ in range(2):
        assert run(folder, MERGE) == 0
        assert samples(folder) == before
        assert len(files(folder)) == 2


def test_files_of_living_processes_are_not_merged(folder):
    script = f"""
said.labels("a").inc(1)
if os.fork() == 0:
    said.labels("a").inc(10)
    os._exit(0)
os.wait()
if os.fork() == 0:
    said.labels("a").inc(100)
    os._exit(0)
os.wait()
{MERGE}
said.labels("a").inc(1000)
"""
    assert run(folder, script) == 0
    assert sample(folder, "said_total", who="a") == 1111
    assert len(files(folder)) == 2


def test_nothing_is_merged_while_somebody_reads(folder):
    for _ in range(2):
        assert run(folder, "said.labels('a').inc()") == 0
    script = f"""
from memory_api.metric_files import unmerged_metrics
with unmerged_metrics():
    {MERGE}
"""
    assert run(folder, script) == 0
    assert len(files(folder)) == 2
    assert run(folder, MERGE) == 0
    assert len(files(folder)) == 1


def test_a_process_that_was_forked_keeps_no_file_of_the_other_open(folder):
    script = """
def opened():
    return len(os.listdir("/proc/self/fd"))
said.labels("a").inc()
before = opened()
child = os.fork()
if child == 0:
    os._exit(0 if opened() == before else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(folder, script) == 0


GAUGE = """
from prometheus_client import Gauge
busy = Gauge("busy", "Busy", multiprocess_mode="livesum")
"""


def test_a_gauge_is_the_sum_of_the_living(folder):
    assert run(folder, GAUGE + "busy.set(5)") == 0
    child = subprocess.Popen(
        [sys.executable, "-c", BEGIN + GAUGE + "busy.set(7); print(1, flush=True); input()"],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout
    assert child.stdout.readline()
    script = GAUGE + MERGE + "\nbusy.set(30)"
    assert run(folder, script) == 0
    assert sample(folder, "busy") == 37
    assert run(folder, MERGE) == 0
    assert sample(folder, "busy") == 7
    child.communicate(b"\n", timeout=60)


def test_the_files_have_no_holes(folder):
    assert run(folder, "said.labels('a').inc()") == 0
    for file in files(folder):
        assert file.stat().st_blocks * 512 >= file.stat().st_size


def test_on_a_full_disk_a_process_counts_for_itself(folder):
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
took.labels("a").observe(1)
os._exit(int(took.labels("a")._count.get()))
"""
    assert run(folder, script) == 1
    assert not any(path.name.startswith("summary") for path in folder.iterdir())


def test_without_a_folder_nothing_is_shared():
    environment = {key: value for key, value in os.environ.items() if "MULTIPROC" not in key}
    script = f"{BEGIN}\nsaid.labels('a').inc(); print(said.labels('a')._value.get())"
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, env=environment, timeout=60, text=True) == "1.0\n"
