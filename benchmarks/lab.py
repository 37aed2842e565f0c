"""Everything that a benchmark starts: databases, doors, and a child for each store."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from benchmarks.environments import Unavailable, python_for, python_in
from benchmarks.scenario import Scenario
from benchmarks.subjects import Subject, start
from testing.mariadb import MariaDb, mariadbd
from testing.mlserver import MLServer
from testing.postgres import Postgres
from testing.processes import ROOT, SHIPPED_MODELS, Process, free_port
from testing.service import Service, write_memory

DATABASES = ("sqlite", "postgresql", "mariadb")
OURS, ORM = "benchmarks.stores.ours:Store", "benchmarks.stores.ours:OrmStore"
FLOORS = {kind: f"benchmarks.stores.{kind}:Store" for kind in DATABASES}
RANGE = "benchmarks.stores.postgresql:RangeStore"
NOOP, ORIGINAL = "benchmarks.stores.noop:Store", "benchmarks.stores.original:Store"
HTTP, UNPINNED = "benchmarks.stores.http:Store", "benchmarks.stores.http:UnpinnedStore"
GRPC = "benchmarks.stores.grpc:Store"
FRESH = "benchmarks.stores.fresh:Store"
# What MLServer's door calls, from outside to inside.
LAYERS = {
    "runtime": "benchmarks.stores.layers:RuntimeStore",
    "contract": "benchmarks.stores.layers:ContractStore",
    "store": OURS,
}
INFER = "/v2/models/memory/infer"


class Server(Process):
    """A server in this checkout, on a free port; a command starts it."""

    def __init__(self, folder: Path, ready: str, **environment: str) -> None:
        super().__init__(folder, PYTHONPATH=str(ROOT), **environment)
        self.ready = self.target = ready

    def __enter__(self) -> Self:
        return self  # the command is given to `start`


class Lab:
    """Ends all that it started at the end of its `with` block. Parts share its databases."""

    def __enter__(self) -> Self:
        self.stack = ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="convstore-bench-")
        self.folder = Path(self.stack.enter_context(folder))
        self.urls: dict[tuple[str, str], str] = {}
        self.left_out: list[str] = []
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    @contextmanager
    def part(self) -> Iterator[None]:
        """Ends the stores and doors, but no database, that are started inside."""
        with ExitStack() as self.running:
            yield

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    # --- Databases -----------------------------------------------------------------------

    @cached_property
    def postgresql(self) -> Postgres:
        return self.stack.enter_context(Postgres())

    @cached_property
    def mariadb(self) -> MariaDb:
        if not mariadbd():
            raise Unavailable("MariaDB is missing: apt-get install mariadb-server")
        return self.stack.enter_context(MariaDb("max-allowed-packet=256M"))

    def server(self, kind: str) -> Postgres | MariaDb:
        return self.postgresql if kind == "postgresql" else self.mariadb

    def url(self, kind: str, name: str = "convstore") -> str:
        """The URL of a database, which is made when it is first asked for."""
        if (kind, name) not in self.urls:
            if kind == "sqlite":
                self.urls[kind, name] = f"sqlite:///{self.folder}/{name}.sqlite3"
            else:
                server: Any = self.server(kind)
                server.execute(f"CREATE DATABASE {name}")
                self.urls[kind, name] = server.url(name)
        return self.urls[kind, name]

    def database_process(self, kind: str) -> int | None:
        return None if kind == "sqlite" else self.server(kind).process.pid

    # --- Stores in process ---------------------------------------------------------------

    def in_process(self, name: str, store: str, kind: str, url: str | None = None) -> Subject:
        """A store that works on convstore's tables, which our own must have made before."""
        return self.started(name, store, url or self.url(kind), sys.executable, kind)

    def peer(self, name: str, store: str, kind: str) -> Subject:
        """A store on tables of its own, in the environment that is called after its module."""
        module, _, store_class = store.rpartition(".")[2].partition(":")
        url = self.url(kind, f"{module}_{store_class}".lower())
        return self.started(name, store, url, python_for(module), kind)

    def started(
        self, name: str, store: str, url: str, python: Path | str, kind: str, **pids: Any
    ) -> Subject:
        pids["database"] = self.database_process(kind)
        subject = start(name, store, url, python, self.folder / "children.log", **pids)
        self.running.callback(subject.end)
        return subject

    def filled(self, kind: str, *scenarios: Scenario) -> Subject:
        """Our store in process, and with it the tables and conversations that others use, too."""
        ours = self.in_process("ours", OURS, kind)
        for scenario in scenarios:
            ours.ask("fill", scenario)
        return checked(ours, *scenarios)

    def relayed(self, kind: str) -> str:
        """The URL of a database behind a network of one millisecond."""
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.relay", str(self.server(kind).port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.callback(process.wait)
        self.running.callback(process.terminate)
        port = process.stdout.readline().strip() if process.stdout else ""
        return self.url(kind).replace(f":{self.server(kind).port}/", f":{port}/")

    # --- Doors ---------------------------------------------------------------------------

    def behind(self, name: str, door: Process, kind: str, client: str = HTTP) -> Subject:
        """A door as a subject: its child is a client of it."""
        url = door.url + INFER
        if client == GRPC:
            url = f"127.0.0.1:{door.grpc_port}"  # type: ignore[attr-defined]
        pid = door.process.pid
        return self.started(name, client, url, sys.executable, kind, service=pid)

    def service(self, kind: str) -> Process:
        """Our HTTP door, by `make serve`."""
        folder, environment = self.memory(kind)
        return self.running.enter_context(Service(folder, **environment))

    def mlserver(self, kind: str) -> Process:
        """Our door in MLServer, by `make mlserver`."""
        python_in(".venv-mlserver")
        folder, environment = self.memory(kind)
        models = Path(environment["MODELS_DIR"])
        return self.running.enter_context(MLServer(folder, models, DATABASE_URL=self.url(kind)))

    def memory(self, kind: str) -> tuple[Path, dict[str, str]]:
        """A folder with one memory on a database, and the settings of a service that has it."""
        folder = self.new_folder()
        extra = {"database": "sql", "config": {"window_size": 50}}
        write_memory(folder / "memories", "memory", extra)
        return folder, {"DATABASE_URL": self.url(kind), "MODELS_DIR": str(folder / "memories")}

    def plain(self, store: str, kind: str) -> Process:
        """A store behind a plain Django view, under gunicorn's gthread with our settings."""
        server = Server(self.new_folder(), "/v2/health/live", STORE=store, STORE_URL=self.url(kind))
        options = ["--worker-class=gthread", "--threads=8", "--keep-alive=75"]
        address = f"--bind=127.0.0.1:{server.port}"
        application = "benchmarks.doors.plain:application"
        return self.run(server, [sys.executable, "-m", "gunicorn", application, *options, address])

    def runtime(self, store: str, kind: str, name: str, python: Path) -> Process:
        """A store behind a plain runtime of MLServer, with our settings of MLServer."""
        folder = self.new_folder()
        write_memory(folder / "models", "memory", {})
        settings = folder / "models" / "memory" / "model-settings.json"
        ours = "mlserver_memory.ConversationalMemory"
        settings.write_text(settings.read_text().replace(ours, "benchmarks.doors.runtime.Runtime"))
        shutil.copy(SHIPPED_MODELS / "settings.json", folder / "models")
        url = self.url(kind, name)
        server = Server(folder, "/v2/health/ready", STORE=store, STORE_URL=url)
        for environment, port in (("HTTP", server.port), ("GRPC", 0), ("METRICS", 0)):
            server.environment[f"MLSERVER_{environment}_PORT"] = str(port or free_port())
        return self.run(server, [python.parent / "mlserver", "start", folder / "models"])

    def run(self, server: Server, command: list[Path | str]) -> Process:
        server.start(command, ROOT)
        self.running.callback(server.__exit__)
        return server

    # --- Doors that are checked ------------------------------------------------------------

    def doors(self, kind: str, *scenarios: Scenario) -> list[Subject]:
        """Our HTTP door and the same by hand, on conversations that are there."""
        self.filled(kind, *scenarios)
        ours, floor = self.service(kind), self.plain(FLOORS[kind], kind)
        return [
            checked(self.behind("ours", ours, kind), *scenarios),
            checked(self.behind("by hand", floor, kind), *scenarios),
        ]

    def original(self, *scenarios: Scenario) -> Subject:
        """The stand-in of the original service, on PostgreSQL."""
        inside = self.peer("original", ORIGINAL, "postgresql")
        for scenario in scenarios:
            inside.ask("fill", scenario)
        door = self.runtime(ORIGINAL, "postgresql", "original_store", python_for("original"))
        subject = self.behind("stand-in of the original", door, "postgresql", UNPINNED)
        return checked(subject, *scenarios)


def checked(subject: Subject, *scenarios: Scenario) -> Subject:
    """The subject, whose answers are right."""
    subject.ask("check", Scenario())
    for scenario in scenarios:
        subject.ask("check last", scenario)
    return subject
