"""Something else is hit each time while clients write, and the verdict on all of it."""

from __future__ import annotations

import itertools
import re
import statistics
import subprocess
import sys
import time
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import requests

from convstore.conf import DEFAULT_THREADS
from testing.processes import inherited_environment, process_group
from testing.service import Service
from tests.length import MINUTES
from tests.soak.checker import (
    Failed,
    Outage,
    Report,
    felt,
    slowest_healing,
    unexplained,
    without_busy,
)
from tests.soak.load import CUT, PROGRESS_SECONDS, REFUSED, UNAVAILABLE, Load
from tests.soak.outages import HEALED_WITHIN, MESSAGES_BETWEEN

# What Python's allocator keeps goes up and down by a few per cent.
TOLERANCE = 1.1
# Each thread of two workers keeps one, and each worker another one.
MOST_CONNECTIONS = 2 * (DEFAULT_THREADS + 1)
# Indexes are dropped, and built anew.
INDEXES = [("migrate", "convstore", "0011"), ("migrate_memories",)]
# First all kinds. Turned on later, words would be written into all messages, for minutes.
MIGRATIONS = [("words", "on"), *INDEXES, ("words", "off")]

Act = Callable[[], object]


class Hit(NamedTuple):
    """`act` returns when what it hit is there again; only until then may requests fail.

    `repair` is what has to be done before the next hit, while requests succeed.
    """

    name: str
    act: Act
    ways: Collection[str] = (UNAVAILABLE,)
    repair: Act = lambda: None


class Sample(NamedTuple):
    """What a service has: bytes of memory of its own, and connections to its database."""

    memory: int
    connections: int


class Turn(NamedTuple):
    """A hit, when it was, and what each service had before."""

    hit: Hit
    outage: Outage
    samples: Sequence[Sample]


# --- Hits --------------------------------------------------------------------------------


def hit_in_turns(
    load: Load, hits: Sequence[Hit], services: Sequence[Service], every: float = 0
) -> list[Turn]:
    """Each hit once, and again until the time is over; one `every` so many seconds."""
    turns: list[Turn] = []
    begin = time.monotonic()
    for n, hit in enumerate(itertools.cycle(hits), 1):
        if n > len(hits) and time.monotonic() > begin + 60 * MINUTES:
            break
        load.more(MESSAGES_BETWEEN)
        time.sleep(max(0, begin + n * every - time.monotonic()))
        samples = [sample(service) for service in services]
        down = time.monotonic()
        hit.act()
        wait_until_well(services)
        turns.append(Turn(hit, Outage(down, time.monotonic()), samples))
        load.more(MESSAGES_BETWEEN)
        hit.repair()
    load.more(MESSAGES_BETWEEN)
    return turns


def each_minute(hits: Sequence[Hit]) -> float:
    """The seconds from one hit to the next: a minute, or less if the time is short for all."""
    return min(60, 60 * MINUTES / len(hits))


def wait_until_well(services: Sequence[Service]) -> None:
    """Each of them takes writes again, by itself."""
    deadline = time.monotonic() + PROGRESS_SECONDS
    for service in services:
        while requests.get(f"{service.url}/v2/health/ready", timeout=5).status_code != 200:
            assert time.monotonic() < deadline, f"{service.url} is not ready"
            time.sleep(0.1)


def restart_gracefully(service: Service) -> None:
    service.__exit__()
    service.__enter__()


def restart_of(service: Service) -> Hit:
    return Hit("service restarted", lambda: restart_gracefully(service), (REFUSED, CUT))


def migrations_of(service: Service) -> Hit:
    """Each time the next one of MIGRATIONS, then of INDEXES; no request may feel it."""
    commands = itertools.chain(MIGRATIONS, itertools.cycle(INDEXES))
    return Hit("migration", lambda: run(service, next(commands)), ())


def run(service: Service, command: Sequence[str]) -> None:
    """A command of convstore on the database of a service."""
    subprocess.run(
        [sys.executable, "-m", "convstore", *command],
        cwd=service.folder,
        env={**inherited_environment(), **service.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def sample(service: Service) -> Sample:
    """Connections that do not come in at its port are those to the database."""
    processes = process_group(service.process.pid)
    ends = [end for process in processes for end in process.net_connections("tcp")]
    out = [end for end in ends if end.laddr.port != service.port]
    connections = sum(end.status == psutil.CONN_ESTABLISHED for end in out)
    return Sample(sum(map(own_memory, processes)), connections)


def own_memory(process: psutil.Process) -> int:
    """Its share of what its family has written, in bytes.

    Libraries are shared with whatever else runs on the machine, which comes and goes.
    """
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    (kilobytes,) = re.findall(r"^Pss_Anon: +(\d+) kB$", rollup, re.MULTILINE)
    return 1024 * int(kilobytes)


# --- The verdict -------------------------------------------------------------------------


def assert_explained(load: Load, turns: Sequence[Turn]) -> None:
    """What failed did so during a hit, in one of its ways; and nothing grew."""
    strange = without_a_hit(load, turns)
    assert not strange, strange[:5]
    outages = [turn.outage for turn in turns]
    assert felt(outages, load.failed)
    assert slowest_healing(outages, load.acknowledged) < HEALED_WITHIN
    for samples in by_service(turns):
        first, last = first_and_last(samples)
        assert last.memory < TOLERANCE * first.memory, samples
        assert max(sample.connections for sample in samples) <= MOST_CONNECTIONS, samples


def without_a_hit(load: Load, turns: Sequence[Turn]) -> Sequence[Failed]:
    strange: Sequence[Failed] = load.failed
    for turn in turns:
        strange = unexplained(strange, [turn.outage], turn.hit.ways)
    return strange


def write_verdict(report: Report, load: Load, turns: Sequence[Turn]) -> None:
    """The verdict, for the docs; pytest shows it with -s."""
    sys.stdout.write("\n".join(("", str(report), *figures(load, turns), "")))


def figures(load: Load, turns: Sequence[Turn]) -> Iterator[str]:
    minutes = (turns[-1].outage.up - turns[0].outage.down) / 60
    yield f"{minutes:.1f} minutes from the first hit to the last, {len(turns)} hits"
    yield f"{len(load.acknowledged):,} messages acknowledged, {len(load.failed):,} requests failed"
    yield f"failed: {dict(Counter(failed.how for failed in load.failed))}"
    yield f"{len(without_a_hit(load, turns))} failures that no hit explains"
    of_name: defaultdict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        of_name[turn.hit.name].append(turn)
    ats = sorted(reply.at for reply in load.acknowledged)
    for name, same in of_name.items():
        silences = [silence(turn.outage, ats) for turn in same]
        outages, ways = [turn.outage for turn in same], same[0].hit.ways
        failed = len(without_busy(load.failed)) - len(unexplained(load.failed, outages, ways))
        yield (
            f"{len(same)} x {name}: {failed} failed, the longest silence"
            f" {statistics.median(silences):.1f} s (median), {max(silences):.1f} s (most)"
        )
    for number, samples in enumerate(by_service(turns), 1):
        first, last = first_and_last(samples)
        yield (
            f"service {number}: {first.memory / 2**20:.0f} then {last.memory / 2**20:.0f} MiB,"
            f" {first.connections} then {last.connections} connections"
        )


def silence(outage: Outage, ats: Sequence[float]) -> float:
    """The longest time without an acknowledged message that has a part in the outage."""
    begin, end = bisect(ats, outage.down), bisect(ats, outage.up)
    around = ats[max(0, begin - 1) : end + 1]
    return max(later - sooner for sooner, later in itertools.pairwise(around))


def by_service(turns: Sequence[Turn]) -> Iterator[Sequence[Sample]]:
    return zip(*(turn.samples for turn in turns), strict=True)


def first_and_last(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """The medians of the first quarter and of the last one."""
    quarter = max(1, len(samples) // 4)
    return median_of(samples[:quarter]), median_of(samples[-quarter:])


def median_of(samples: Sequence[Sample]) -> Sample:
    memories, connections = zip(*samples, strict=True)
    return Sample(statistics.median_high(memories), statistics.median_high(connections))
