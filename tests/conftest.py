"""Real databases and real server processes for the tests.

TEST_DATABASES, comma-separated, says which databases the tests run on: `sqlite`, names out
of STARTS, which are started here, or the URL of a server, in which a database is made for
the run. By default it is all that this machine has. The end of the run says which were
exercised, what was left out, and what would bring it. With MAY_LACK, comma-separated names out
of machine.NEEDS, a run fails that leaves tests out for anything else that the machine lacks.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import URL, make_url

from convstore.database.migration_lock import without_time_limits
from convstore.database.url import database_alias
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.variants import statements_for
from convstore.models import Conversation, Message
from convstore.store import ConversationStore
from testing.mariadb import MariaDb
from testing.mlserver import MLServer
from testing.postgres import Postgres, debians
from testing.processes import Process
from testing.service import Service, write_memories
from tests.batches import batch_for
from tests.doors import DOORS, Door, open_door
from tests.length import times
from tests.machine import DATABASES, NEEDS, is_here
from tests.selection import lacking, select

Server = Postgres | MariaDb
Keep = Callable[[str, Callable[[], AbstractContextManager[Any]]], Any]
STARTS: dict[str, Callable[[], Server]] = {
    "postgresql": Postgres,
    "postgresql-debian": lambda: Postgres(programs=debians()),
    # A message of 20 MB does not fit into the packets of MariaDB's default.
    "mariadb": lambda: MariaDb("max-allowed-packet=256M"),
}

# There, the tests of the store use a table of messages in so many partitions.
PARTITIONS = {"postgresql-debian": 3}

# On a busy machine, any example and its making may take long. Each run takes other examples.
settings.register_profile(
    "tests",
    max_examples=times(50, soak=100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

exercised: dict[str, str] = {}
left_out: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="only tests that need nothing but Python and SQLite"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selected, missing = select(items, fast=config.getoption("fast"))
    chosen = set(selected)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = selected
    if not config.getoption("fast"):
        left_out.update(missing)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of pytest-xdist's workers tells what it did to the process that will print it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput |= {"exercised": exercised, "left_out": dict(left_out)}
    elif session.exitstatus == pytest.ExitCode.OK and lacking(left_out):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output = getattr(node, "workeroutput", {})
    exercised.update(output.get("exercised", {}))
    left_out.update(Counter(output.get("left_out", {})) - left_out)  # each collects the same


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    named = ", ".join(f"{name} {version}" for name, version in sorted(exercised.items()))
    terminalreporter.write_line(f"databases exercised: {named or 'none'}")
    if config.getoption("fast"):
        terminalreporter.write_line(
            "left out: all that is slow or needs more than Python and SQLite"
        )
        return
    for need, count in left_out.most_common():
        terminalreporter.write_line(f"left out: {count} tests that need {described(need)}")
    if names := ", ".join(lacking(left_out)):
        terminalreporter.write_line(f"failed, since MAY_LACK does not name: {names}", red=True)


def described(need: str) -> str:
    if is_here(need):
        return f"{need}, which TEST_DATABASES does not name"
    return f"{need}, which this machine lacks: {NEEDS[need].brought_by}"


@pytest.fixture(scope="session")
def kept() -> Iterator[Keep]:
    """Make what is asked for once, by its name, and keep it until the tests end.

    Where a fixture itself has a database as its parameter, pytest ends it before it begins
    the one of the next database, and so begins all of them anew in each file.
    """
    made: dict[str, Any] = {}
    services: list[AbstractContextManager[Any]] = []
    others: list[AbstractContextManager[Any]] = []

    def by_name(name: str, make: Callable[[], AbstractContextManager[Any]]) -> Any:
        if name not in made:
            manager = make()
            made[name] = manager.__enter__()
            (services if isinstance(manager, Process) else others).append(manager)
        return made[name]

    with ExitStack() as stack:
        stack.callback(exit_all, others)  # databases among them, which services still use
        stack.callback(exit_all, services)
        yield by_name


def exit_all(managers: Sequence[AbstractContextManager[Any]]) -> None:
    """Exit all at once: a service waits for seconds until its processes are gone."""
    with ThreadPoolExecutor(len(managers) or 1) as pool:
        list(pool.map(lambda manager: manager.__exit__(None, None, None), managers))


@pytest.fixture(scope="session")
def server(kept: Keep) -> Callable[[str], Server]:
    """The servers that the tests share, each started when it is first asked for."""
    return lambda name: kept(name, STARTS[name])


@pytest.fixture(scope="session")
def postgresql(server: Callable[[str], Postgres]) -> Postgres:
    """The PostgreSQL server that the tests share."""
    return server("postgresql")


@pytest.fixture(scope="session")
def new_database(
    server: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Make an empty database of a kind out of DATABASES; its URL."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/test.sqlite3"
        return made_in(make_url(kind if "://" in kind else server(kind).url()))

    return make


def made_in(url: URL) -> str:
    """Make a database in the server at `url`, whose user may do so; its URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    ours = url.set(database=name)
    statements = [f"CREATE DATABASE {name}"]
    if url.get_backend_name() == "oracle":  # where a user is what others call a database
        statements = [
            f"CREATE USER {name} IDENTIFIED BY {name} QUOTA UNLIMITED ON users",
            f"GRANT CREATE SESSION, CREATE TABLE, CREATE SEQUENCE, CREATE TRIGGER TO {name}",
        ]
        ours = url.set(username=name, password=name)
    alias = database_alias(url.render_as_string(hide_password=False))
    with without_time_limits(alias), connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return ours.render_as_string(hide_password=False)


@pytest.fixture(scope="session", params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def database_url(database_kind: str, new_database: Callable[[str], str], kept: Keep) -> str:
    """A database of each kind, for the tests that work in this process."""
    url: str = kept(f"database, {database_kind}", lambda: nullcontext(new_database(database_kind)))
    return url


@pytest.fixture(scope="session", autouse=True)
def _databases_may_be_used(django_db_blocker: Any) -> None:
    """pytest-django's guard is for tests that share one database; ours make their own."""
    django_db_blocker.unblock()


@pytest.fixture(scope="session")
def migrated(database_url: str, database_kind: str, kept: Keep) -> str:
    """The alias of `database_url`, its tables made by the migrations."""

    def make() -> AbstractContextManager[str]:
        alias = database_alias(database_url)
        partitions = PARTITIONS.get(database_kind)
        call_command("migrate", "convstore", database=alias, verbosity=0, partitions=partitions)
        note_exercised(alias)
        return nullcontext(alias)

    alias: str = kept(f"tables, {database_kind}", make)
    return alias


def note_exercised(alias: str) -> None:
    connection = connections[alias]
    version = ".".join(map(str, connection.get_database_version()))
    exercised[connection.display_name] = version


@pytest.fixture
def database(migrated: str) -> Iterator[str]:
    """The alias of an empty database with tables."""
    yield migrated
    Message.objects.using(migrated).all().delete()
    Conversation.objects.using(migrated).all().delete()


@pytest.fixture(params=[statements_for, batch_for, PortableOrm], ids=["fast", "batch", "portable"])
def store(database: str, request: pytest.FixtureRequest) -> ConversationStore:
    """A store on each database, over each variant of its statements."""
    return ConversationStore(database, request.param)


# --- A real service ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def service(
    database_kind: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    kept: Keep,
) -> Service:
    """gunicorn on each database, with the memories of `testing.service.MEMORIES`."""

    def make() -> Service:
        folder = tmp_path_factory.mktemp("service")
        write_memories(folder / "models")
        url = new_database(database_kind)
        note_exercised(database_alias(url))
        return Service(folder, DATABASE_URL=url, MODELS_DIR=str(folder / "models"))

    service: Service = kept(f"service, {database_kind}", make)
    return service


@pytest.fixture(scope="session")
def mlserver(
    service: Service,
    database_kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    kept: Keep,
) -> MLServer:
    """MLServer with the same memories, over the same database."""

    def make() -> MLServer:
        models = Path(service.environment["MODELS_DIR"])
        url = service.environment["DATABASE_URL"]
        return MLServer(tmp_path_factory.mktemp("mlserver"), models, DATABASE_URL=url)

    mlserver: MLServer = kept(f"mlserver, {database_kind}", make)
    return mlserver


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, service: Service) -> Door:
    """A way in to every memory; the tests of the contract go through each."""
    return open_door(request.param, service, lambda: request.getfixturevalue("mlserver"))


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parent.parent
