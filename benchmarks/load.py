"""Load on one store: threads that repeat an operation, and what their calls took."""

from __future__ import annotations

import random
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing

from benchmarks.scenario import ROLES, Scenario, Session, Store, WrongAnswer, expect

# An answer is checked to its last message once in so many, so that checking costs no time.
CHECKED = 64
WARM_UP_SECONDS = 0.2
Operation = Callable[[bool], None]


def fill(store: Store, scenario: Scenario) -> None:
    """Make the conversations of a scenario."""
    block = min(scenario.length, 1_000)
    for name in scenario.names():
        messages = [scenario.message(f"{n:08}", ROLES[n % 2]) for n in range(block)]
        store.fill(name, messages, scenario.length // block)


def operation(session: Session, scenario: Scenario, *, exact: bool) -> Operation:
    """What a thread repeats; the answer is checked where the argument says so."""
    names, prefix = scenario.names(), uuid.uuid4().hex[:12]
    least = min(scenario.window, scenario.length)

    def append(checked: bool) -> None:
        message = scenario.message(f"{prefix}-{random.getrandbits(40):010x}")
        answer = session.append(random.choice(names), message, scenario.window)
        if checked:
            found = session.elements(answer)
            # With other writers, only an exact store's window ends in the caller's own message.
            expect(found[-1:] if exact else [e for e in found if message.text in e], [message.text])
            if not least <= len(found) <= scenario.window:
                raise WrongAnswer(f"{len(found)} messages in a window of {scenario.window}")

    def read(checked: bool) -> None:
        answer = session.read(random.choice(names), scenario.window)
        if checked and not least <= len(session.elements(answer)) <= scenario.window:
            raise WrongAnswer(f"a window that is not of {least} messages")

    return append if scenario.operation == "append" else read


def run(store: Store, scenario: Scenario, go: Callable[[], None]) -> dict[str, float]:
    """Warm up, call `go`, load the store; what the calls took, in ms."""
    taken: list[float] = []
    failed: list[float] = []
    cpu = begun = 0.0

    def start() -> None:  # in one thread, when all are warm
        nonlocal cpu, begun
        go()
        cpu, begun = time.process_time(), time.perf_counter()

    def work(n: int) -> None:
        with closing(store.session()) as session:
            do = operation(session, scenario, exact=store.exact)
            if scenario.warm:
                warm_up(do)
            barrier.wait()
            repeat(do, scenario, begun + scenario.seconds, taken, failed)

    barrier = threading.Barrier(scenario.threads, action=start)
    in_threads(work, scenario.threads, barrier)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    quantiles = statistics.quantiles(taken, n=100) if len(taken) > 1 else taken * 99
    return {
        "count": len(taken),
        "failed": len(failed),
        "seconds": seconds,
        "cpu": cpu,
        "p50": statistics.median(taken) * 1e3,
        "p99": min(quantiles[98], max(taken)) * 1e3,
        "max": max(taken) * 1e3,
    }


def repeat(
    do: Operation, scenario: Scenario, end: float, taken: list[float], failed: list[float]
) -> None:
    """Call until `end`, and once at least; how long each call took, in seconds."""
    mine: list[float] = []
    now = time.perf_counter()
    while not mine or now < end:
        begun = now
        try:
            do(len(mine) % CHECKED == CHECKED - 1)
        except OSError:
            if not scenario.failing:
                raise
            failed.append(begun)
        now = time.perf_counter()
        mine.append(now - begun)
    taken.extend(mine)


def warm_up(do: Callable[[bool], None]) -> None:
    do(True)
    end = time.perf_counter() + WARM_UP_SECONDS
    while time.perf_counter() < end:
        do(False)


def in_threads(
    work: Callable[[int], None], threads: int, barrier: threading.Barrier | None = None
) -> None:
    """Run `work` in that many threads; the first error of one ends all."""
    errors: list[Exception] = []

    def guarded(n: int) -> None:
        try:
            work(n)
        except Exception as error:
            if not isinstance(error, threading.BrokenBarrierError):
                errors.append(error)
            if barrier:
                barrier.abort()

    running = [threading.Thread(target=guarded, args=[n]) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
