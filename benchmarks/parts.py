"""What is measured: for each part, which subjects do what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.compare import Comparison
from benchmarks.environments import python_in, python_of_peer
from benchmarks.lab import FLOORS, GRPC, NOOP, ORIGINAL, ORM, OURS, RANGE, UNPINNED, Lab
from benchmarks.scenario import Scenario
from benchmarks.subjects import Subject


@dataclass(frozen=True)
class Plan:
    """How much is measured; `base` is the scenario that the others change."""

    base: Scenario
    databases: Sequence[str]
    rounds: int


def store(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """Stores in process, beside what is written by hand and what Django's ORM does."""
    for kind in plan.databases:
        ours = filled(lab, kind, plan.base)
        floor = checked(lab.in_process("by hand", FLOORS[kind], kind), plan.base)
        both, all_three = [ours, floor], [ours, floor]
        if kind != "sqlite":  # where the ORM's writers starve one another
            all_three.append(checked(lab.in_process("Django ORM", ORM, kind), plan.base))
        one, hot = replace(plan.base, threads=1), replace(plan.base, threads=32, conversations=1)
        yield Comparison(kind, "append, 1 thread", one, all_three)
        yield Comparison(kind, "append, 8 threads", plan.base, all_three)
        yield Comparison(kind, "append, one conversation, 32 writers", hot, all_three)
        if kind == "postgresql":
            both.append(lab.in_process("plain key range", RANGE, kind))
        yield Comparison(kind, "read, 1 thread", replace(one, operation="read"), both)


def http(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """Doors: ours, the same by hand, one that does nothing."""
    for kind in [kind for kind in plan.databases if kind != "mariadb"]:
        subjects = doors(lab, kind, plan.base)
        yield Comparison(kind, "append, 8 clients", plan.base, subjects)
        yield Comparison(kind, "read, 8 clients", replace(plan.base, operation="read"), subjects)


def mlserver(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """MLServer's doors: ours, a runtime that does nothing, the stand-in of the original."""
    kind = "postgresql" if "postgresql" in plan.databases else "sqlite"
    filled(lab, kind, plan.base)
    ours = lab.mlserver(kind)
    nothing = lab.runtime(NOOP, kind, "convstore", python_in(".venv-mlserver"))
    subjects = [
        checked(lab.behind("ours, MLServer REST", ours, kind), plan.base),
        checked(lab.behind("ours, MLServer gRPC", ours, kind, GRPC), plan.base),
        lab.behind("no-op, MLServer REST", nothing, kind),
    ]
    if kind == "postgresql":
        subjects.append(original(lab, plan.base))
    yield Comparison(kind, "append, 8 clients", plan.base, subjects)
    yield Comparison(kind, "read, 8 clients", replace(plan.base, operation="read"), subjects)


PARTS: dict[str, Callable[[Lab, Plan], Iterator[Comparison]]] = {
    "store": store,
    "http": http,
    "mlserver": mlserver,
}


# --- Subjects ----------------------------------------------------------------------------


def checked(subject: Subject, *scenarios: Scenario) -> Subject:
    """The subject, whose answers are right."""
    subject.ask("check", Scenario())
    for scenario in scenarios:
        subject.ask("check last", scenario)
    return subject


def filled(lab: Lab, kind: str, *scenarios: Scenario) -> Subject:
    """Our own store in process, and with it the tables and conversations that others use, too."""
    ours = lab.in_process("ours", OURS, kind)
    for scenario in scenarios:
        ours.ask("fill", scenario)
    return checked(ours, *scenarios)


def doors(lab: Lab, kind: str, *scenarios: Scenario) -> list[Subject]:
    """Our HTTP door, the floor and one that does nothing, on conversations that are there."""
    filled(lab, kind, *scenarios)
    ours, floor = lab.service(kind), lab.plain(FLOORS[kind], kind)
    return [
        checked(lab.behind("ours, gunicorn", ours, kind), *scenarios),
        checked(lab.behind("by hand, gunicorn", floor, kind), *scenarios),
        lab.behind("no-op, gunicorn", lab.plain(NOOP, kind), kind),
    ]


def original(lab: Lab, *scenarios: Scenario) -> Subject:
    """The stand-in of the original service, on PostgreSQL."""
    inside = lab.peer("original", ORIGINAL, "postgresql")
    for scenario in scenarios:
        inside.ask("fill", scenario)
    checked(inside, *scenarios)
    door = lab.runtime(ORIGINAL, "postgresql", "original", python_of_peer("original"))
    subject = lab.behind("stand-in of the original", door, "postgresql", UNPINNED)
    return checked(subject, *scenarios)
