"""What is measured: for each part, which subjects do what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.around import SLOW, peak_memory, slow_clients, slow_reader
from benchmarks.compare import Comparison, Turn, compare
from benchmarks.environments import Unavailable, python_in
from benchmarks.goals import CALM
from benchmarks.lab import FLOORS, FRESH, GRPC, LAYERS, NOOP, ORM, OURS, RANGE, Lab, checked
from benchmarks.scenario import Scenario
from benchmarks.start import commands

APPEND, READ = "append", "read"
LENGTHS = {"sqlite": (100, 10_000, 1_000_000), "postgresql": (100, 10_000, 1_000_000)}
IMAGES = Scenario(
    READ, threads=1, conversations=1, length=5, window=5, size=1_000_000, kind="image"
)
PEERS = {
    "OpenAI Agents SQLAlchemySession": "openai_agents:SqlalchemyStore",
    "OpenAI Agents SQLiteSession": "openai_agents:SqliteStore",
    "Google ADK": "google_adk:Store",
    "Agno": "agno:Store",
    "LlamaIndex": "llamaindex:Store",
    "LangGraph": "langgraph:Store",
}
# The lengths of histories, and how many there are, so that short ones stay short.
HISTORIES = {10: 200, 1_000: 10, 100_000: 1}


@dataclass(frozen=True)
class Plan:
    """How much is measured; `base` is the scenario that the others change."""

    base: Scenario
    databases: Sequence[str]
    rounds: int

    def on(self, *kinds: str) -> list[str]:
        return [kind for kind in self.databases if kind in kinds]


def store(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """Stores in process, beside what is written by hand and what Django's ORM does."""
    for kind in plan.databases:
        base = plan.base
        both = [lab.filled(kind, base)]
        both.append(checked(lab.in_process("by hand", FLOORS[kind], kind), base))
        all_three, readers = [*both], [*both]
        if kind != "sqlite":  # where the ORM's writers starve one another
            all_three.append(checked(lab.in_process("Django ORM", ORM, kind), base))
        if kind == "postgresql":
            readers.append(lab.in_process("plain range of the key", RANGE, kind))
        hot = replace(base, threads=32, conversations=1)
        yield compare(kind, "append, 1 thread", replace(base, threads=1), all_three)
        yield compare(kind, "append, 8 threads", base, all_three)
        yield compare(kind, "append, one conversation, 32 writers", hot, all_three)
        yield compare(kind, "read, 1 thread", replace(base, threads=1, operation=READ), readers)


def http(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The HTTP door: ours, the same by hand, one that does nothing; the original's stand-in."""
    for kind in plan.on("sqlite", "postgresql"):
        subjects = lab.doors(kind, plan.base)
        subjects.append(lab.behind("no-op", lab.plain(NOOP, kind), kind))
        if kind == "postgresql":
            subjects.append(lab.original(plan.base))
        yield compare(kind, APPEND, plan.base, subjects)
        yield compare(kind, READ, replace(plan.base, operation=READ), subjects)


def mlserver(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """MLServer's doors: ours, and a runtime that does nothing."""
    for kind in plan.on("sqlite", "postgresql"):
        lab.filled(kind, plan.base)
        ours = lab.mlserver(kind)
        nothing = lab.runtime(NOOP, kind, "convstore", python_in(".venv-mlserver"))
        subjects = [
            checked(lab.behind("ours, REST", ours, kind), plan.base),
            checked(lab.behind("ours, gRPC", ours, kind, GRPC), plan.base),
            lab.behind("no-op, REST", nothing, kind),
        ]
        yield compare(kind, APPEND, plan.base, subjects)
        yield compare(kind, READ, replace(plan.base, operation=READ), subjects)


def layers(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """MLServer's door and, in process, what it calls: the runtime, the contract, the store."""
    base = replace(plan.base, conversations=100)
    python = python_in(".venv-mlserver")
    for kind in plan.on("sqlite", "postgresql"):
        lab.filled(kind, base)
        nothing = lab.runtime(NOOP, kind, "convstore", python)
        subjects = [
            checked(lab.behind("MLServer, REST", lab.mlserver(kind), kind), base),
            lab.behind("MLServer, REST, no-op", nothing, kind),
        ]
        for name, store in LAYERS.items():
            subjects.append(checked(lab.started(name, store, lab.url(kind), python, kind), base))
        yield compare(kind, APPEND, base, subjects)
        yield compare(kind, READ, replace(base, operation=READ), subjects)


def price(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """What our exchange costs as on a cluster of MariaDB, and with a new connection each time."""
    for kind in plan.on("postgresql", "mariadb"):
        base = replace(plan.base, threads=1, conversations=100)
        subjects = [
            lab.filled(kind, base),
            checked(lab.in_process("a new connection each time", FRESH, kind), base),
        ]
        if kind == "mariadb":
            subjects.append(checked(lab.in_process("as on a cluster", ORM, kind), base))
        yield compare(kind, APPEND, base, subjects)
        yield compare(kind, READ, replace(base, operation=READ), subjects)


def clients(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The cost of an append by the number of clients, at the HTTP door."""
    subjects = lab.doors("postgresql", plan.base)
    subjects.append(lab.original(plan.base))
    for number in (1, 8, 32, 128):
        scenario = replace(plan.base, threads=number)
        yield compare("postgresql", APPEND, scenario, subjects, number)


def window(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The cost of an append by the size of the window, at the HTTP door."""
    base = replace(plan.base, length=1_000, conversations=20)
    subjects = lab.doors("postgresql", base)
    for size in (1, 10, 50, 200, 1_000):
        yield compare("postgresql", APPEND, replace(base, window=size), subjects, size)


def size(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The cost of an append by the size of a message, at the HTTP door."""
    base = replace(plan.base, length=10, conversations=20, window=10)
    scenarios = [replace(base, size=size) for size in (200, 2_000, 20_000, 200_000)]
    subjects = lab.doors("postgresql", *scenarios)
    for scenario in scenarios:
        yield compare("postgresql", APPEND, scenario, subjects, scenario.size)


def history(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The cost by the length of the conversation, in process: it must be flat."""
    for kind in plan.on(*LENGTHS):
        base = replace(plan.base, threads=1, conversations=1)
        scenarios = [replace(base, length=length) for length in LENGTHS[kind]]
        ours = lab.filled(kind, *scenarios)
        for operation in (APPEND, READ):
            turns = [Turn(ours, replace(s, operation=operation), s.length) for s in scenarios]
            yield Comparison(kind, operation, turns)


def network(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """One hot conversation, eight writers, a database that is a millisecond away."""
    for kind in plan.on("postgresql", "mariadb"):
        scenario = replace(plan.base, conversations=1)
        lab.filled(kind, scenario)
        url = lab.relayed(kind)
        stores = {"ours": OURS, "by hand": FLOORS[kind], "Django ORM": ORM}
        subjects = [lab.in_process(name, each, kind, url) for name, each in stores.items()]
        yield compare(kind, "append, 1 ms away", scenario, subjects)


def images(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The memory that a window of five images of 1 MB takes, at each door."""
    for kind in plan.on("sqlite", "postgresql"):
        lab.filled(kind, IMAGES)
        subjects = lab.doors(kind)  # which are not checked on images, for they would grow
        subjects.append(lab.behind("ours, MLServer REST", lab.mlserver(kind), kind))
        once = replace(IMAGES, seconds=0, warm=False)
        turns = [Turn(subject, once, during=peak_memory) for subject in subjects]
        yield Comparison(kind, "read 5 images of 1 MB", turns)


def slow(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """The HTTP door while other clients are slow."""
    kind = plan.databases[0]
    large = replace(plan.base, length=5, conversations=1, size=1_000_000, kind="image")
    lab.filled(kind, plan.base, large)
    door = lab.service(kind)
    calm, ours = (checked(lab.behind(name, door, kind), plan.base) for name in (CALM, "ours"))
    scenario = replace(plan.base, warm=False, failing=True)
    nobody = Turn(calm, scenario, during=partial(slow_clients, door.url, None))
    for what, sent in {**SLOW, "slow readers": slow_reader(large.names()[0], 5)}.items():
        during = partial(slow_clients, door.url, sent)
        yield Comparison(kind, f"append, {what}", [nobody, Turn(ours, scenario, during=during)])


def start(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """`convstore serve` to its first answer, beside `convstore check`, with tables there."""
    for kind in plan.databases:
        yield compare(kind, "start", plan.base, commands(lab, kind))


def peers(lab: Lab, plan: Plan) -> Iterator[Comparison]:
    """Append one message and read the last 50: other libraries, in process, one thread."""
    for kind in plan.on("sqlite", "postgresql"):
        base = replace(plan.base, threads=1)
        scenarios = [replace(base, length=n, conversations=k) for n, k in HISTORIES.items()]
        subjects = [lab.filled(kind, *scenarios)]
        for name, module in PEERS.items():
            if kind != "sqlite" and "SQLite" in name:
                continue
            try:
                peer = lab.peer(name, f"benchmarks.peers.{module}", kind)
            except Unavailable as missing:
                lab.left_out.append(str(missing))
                continue
            for scenario in scenarios:
                peer.ask("fill", scenario)
            subjects.append(checked(peer, *scenarios))
        for scenario in scenarios:
            yield compare(kind, APPEND, scenario, subjects, scenario.length)


Part = Callable[[Lab, Plan], Iterator[Comparison]]

PARTS: dict[str, Part] = {
    part.__name__: part
    for part in (
        store,
        http,
        mlserver,
        layers,
        price,
        clients,
        window,
        size,
        history,
        network,
        images,
        slow,
        start,
        peers,
    )
}
# What a smoke test runs.
SHORT = ["store", "http", "mlserver", "start"]
