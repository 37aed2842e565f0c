"""Real databases and real server processes for the tests.

TEST_DATABASES, a list apart by commas, says which databases every store and contract test
runs on: names out of SERVERS, started here, `sqlite`, or the URL of a server, in which a
database is made for the run. By default it is all that this machine has. The end of the
run says which were exercised, and what would bring the others.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from sqlalchemy.engine import URL, make_url

from convstore.database.migration_lock import without_time_limits
from convstore.database.url import database_alias
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.variants import statements_for
from convstore.models import Conversation, Message
from convstore.store import ConversationStore
from tests.deploy.containers import can_be_started
from tests.doors import DOORS, Door, opened
from tests.mariadb import MariaDb, mariadbd
from tests.mlserver import MLServer
from tests.postgres import Postgres, debians
from tests.service import Service, write_memories

Server = Postgres | MariaDb
SERVERS: dict[str, Callable[[], Server]] = {
    "postgresql": Postgres,
    "postgresql-debian": lambda: Postgres(programs=debians()),
    # A message of 20 MB does not fit into the packets of MariaDB's default.
    "mariadb": lambda: MariaDb("max-allowed-packet=256M"),
}


def loads(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


# What a machine may lack, and the package of Debian's that brings it.
MISSING = {
    name: package
    for name, package, found in (
        ("postgresql-debian", "postgresql", debians()),
        ("mariadb", "mariadb-server", mariadbd()),
        ("SQL Server's driver", "unixodbc", loads("pyodbc")),
        ("buildah", "buildah", which("buildah")),
        ("debootstrap", "debootstrap", which("debootstrap")),
        ("chromium", "chromium", which("chromium")),
        ("npm", "npm", which("npm")),
    )
    if not found
}
HAVE = [name for name in ("sqlite", *SERVERS) if name not in MISSING]
DATABASES = os.environ.get("TEST_DATABASES", ",".join(HAVE)).split(",")

exercised: dict[str, str] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What this machine cannot run is left out, and the end of the run says so."""
    left_out = [item for item in items if needs_more(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def needs_more(item: pytest.Item) -> bool:
    if item.get_closest_marker("image"):
        return bool({"buildah", "debootstrap"} & MISSING.keys()) or not can_be_started()
    if item.get_closest_marker("browser"):
        return bool({"chromium", "npm"} & MISSING.keys())
    if "mariadb" in MISSING and "mariadb" not in DATABASES and item.get_closest_marker("mariadb"):
        return True
    if "SQL Server's driver" not in MISSING:
        return False
    parameters = getattr(item, "callspec", None)
    about = f"{item.nodeid} {parameters and parameters.params}"
    return re.search("mssql|sql_server|SQL Server|FreeTDS", about) is not None


@pytest.fixture(scope="session")
def server() -> Iterator[Callable[[str], Server]]:
    """The servers that the tests share, each started when it is first asked for."""
    running: dict[str, Server] = {}
    with ExitStack() as servers:

        def named(name: str) -> Server:
            if name not in running:
                running[name] = SERVERS[name]()
                servers.enter_context(running[name])
            return running[name]

        yield named


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
    alias = database_alias(url)
    with without_time_limits(alias), connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return ours.render_as_string(hide_password=False)


@pytest.fixture(scope="session", params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def database_url(database_kind: str, new_database: Callable[[str], str]) -> str:
    """A database of each kind, for the tests that work in this process."""
    return new_database(database_kind)


@pytest.fixture(scope="session", autouse=True)
def _databases_may_be_used(django_db_blocker: Any) -> None:
    """pytest-django's guard is for tests that share one database; ours make their own."""
    django_db_blocker.unblock()


@pytest.fixture(scope="session")
def migrated(database_url: str) -> str:
    """The alias of `database_url`, its tables made by the migrations."""
    alias = database_alias(database_url)
    call_command("migrate", "convstore", database=alias, verbosity=0)
    note_exercised(alias)
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


@pytest.fixture(params=[statements_for, PortableOrm], ids=["fast", "portable"])
def store(database: str, request: pytest.FixtureRequest) -> ConversationStore:
    """A store on each database, over each variant of its statements."""
    return ConversationStore(database, request.param)


# --- A real service ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def service(
    database_kind: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """gunicorn on each database, with the memories of `tests.service.MEMORIES`."""
    folder = tmp_path_factory.mktemp("service")
    write_memories(folder / "models")
    url = new_database(database_kind)
    with Service(folder, DATABASE_URL=url, MODELS_DIR=str(folder / "models")) as service:
        note_exercised(database_alias(url))
        yield service


@pytest.fixture(scope="session")
def mlserver(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    """MLServer with the same memories, over the same database."""
    folder = tmp_path_factory.mktemp("mlserver")
    url = service.environment["DATABASE_URL"]
    with MLServer(folder, Path(service.environment["MODELS_DIR"]), DATABASE_URL=url) as mlserver:
        yield mlserver


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, service: Service) -> Door:
    """A way in to every memory; the tests of the contract go through each."""
    return opened(request.param, service, lambda: request.getfixturevalue("mlserver"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    named = ", ".join(f"{name} {version}" for name, version in sorted(exercised.items()))
    terminalreporter.write_line(f"databases exercised: {named or 'none'}")
    if MISSING:
        terminalreporter.write_line(
            f"not exercised, since this machine lacks them: {', '.join(MISSING)}. As root:"
            f" apt-get install {' '.join(MISSING.values())}"
        )


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parent.parent
