"""A service with two workers, on a database of its own that the tests may kill."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from convstore.database.migration_lock import without_time_limits
from convstore.database.url import database_alias
from convstore.models import Message
from testing.mariadb import MariaDb
from testing.postgres import Postgres
from testing.service import Service
from tests.conftest import note_exercised
from tests.machine import DATABASES
from tests.soak.checker import Histories

Server = Postgres | MariaDb
SERVERS: dict[str, type[Server]] = {"postgresql": Postgres, "mariadb": MariaDb}
KINDS_WITH_A_SERVER = [kind for kind in DATABASES if kind in SERVERS]
KINDS = [kind for kind in DATABASES if kind == "sqlite" or kind in SERVERS]


def short_on(*names: str, of: Sequence[str] = KINDS) -> list[pytest.ParameterSet]:
    """The kinds `of` databases as parameters of a proof, which is short on these, or left out."""
    return [pytest.param(kind, marks=[] if kind in names else pytest.mark.soak_only) for kind in of]


def serving(url: str, folder: Path, shared: Path | None = None) -> Service:
    """The service on the database at `url`, from `with` to its end; killed, it starts again.

    Its checkout is in `folder`, its memory and temporary files in `shared` or there, too.
    """
    shared = shared or folder
    return Service(
        folder,
        DATABASE_URL=url,
        MODELS_DIR=str(shared / "models"),
        TMPDIR=str(shared / "temporary"),  # who is killed tidies nothing up
        WORKERS="2",
    )


def processes(service: Service) -> set[int]:
    """The service's processes, which are the same ones as long as nobody restarts it."""
    children = psutil.Process(service.process.pid).children(recursive=True)
    return {process.pid for process in children}


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of its own server, or of its own file."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/crashes.sqlite3"
        return
    with SERVERS[kind]() as server:
        yield made_on(server)


def made_on(server: Server) -> str:
    """The URL of a new database on `server`."""
    server.execute("CREATE DATABASE crashes")
    return server.url("crashes")


def kill(server: Server, meanwhile: Callable[[], None] = lambda: None) -> None:
    """kill -9, then a start after `meanwhile`."""
    server.kill()
    meanwhile()
    server.start()


def restart(server: Server, meanwhile: Callable[[], None] = lambda: None) -> None:
    """As a service manager does it: connections are closed, and what is in memory is written."""
    server.stop()
    meanwhile()
    server.start()


def stored(url: str) -> Histories:
    """All conversations, by the ORM out of the rows, past every door and its statements.

    Asserts that the positions in each are 1, 2, 3 ...
    """
    alias = database_alias(url)
    rows = Message.objects.using(alias).order_by("conversation_id", "position")
    histories: defaultdict[str, list[str]] = defaultdict(list)
    with without_time_limits(alias):
        for memory_id, position, body in rows.values_list(
            "conversation__memory_id", "position", "body"
        ):
            histories[memory_id].append(sys.intern(body))
            assert position == len(histories[memory_id]), f"position {position} of {memory_id}"
        note_exercised(alias)
    return histories
