"""What the tests of the contract and of its refusals share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections

from convstore.database.url import database_alias
from testing.mlserver import MLServer
from testing.processes import Process
from testing.service import Service, write_memories
from tests.conftest import Keep
from tests.doors import DOORS, Door, open_door, stored_counts
from tests.refusals import MAX_BODY_BYTES, MAX_MESSAGES, MAX_PARTS, MAX_TENSORS, MAX_VALUES

Rows = Callable[[], tuple[int, int]]


@pytest.fixture
def rows(service: Service) -> Iterator[Rows]:
    """How many conversations and messages there are now."""
    yield from counted(service)


def counted(service: Process) -> Iterator[Rows]:
    yield lambda: stored_counts(service)
    connections[database_alias(service.environment["DATABASE_URL"])].close()


@pytest.fixture(scope="session")
def limited(
    database_kind: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    kept: Keep,
) -> Service:
    """A service with low limits, and a database that nobody else uses."""

    def make() -> Service:
        folder = tmp_path_factory.mktemp("limited")
        write_memories(folder / "models")
        environment = {
            "DATABASE_URL": new_database(database_kind),
            "MODELS_DIR": str(folder / "models"),
            "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
            "MAX_PARTS": str(MAX_PARTS),
            "MAX_MESSAGES": str(MAX_MESSAGES),
            "MAX_TENSORS": str(MAX_TENSORS),
            "MAX_VALUES": str(MAX_VALUES),
            "DATABASE_TIMEOUT": "1",
        }
        return Service(folder, **environment)

    limited: Service = kept(f"limited service, {database_kind}", make)
    return limited


@pytest.fixture(scope="session")
def limited_mlserver(
    limited: Service,
    database_kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    kept: Keep,
) -> MLServer:
    """MLServer with the same limits, over the same database."""

    def make() -> MLServer:
        environment = dict(limited.environment)
        models = Path(environment.pop("MODELS_DIR"))
        return MLServer(tmp_path_factory.mktemp("limited_mlserver"), models, None, **environment)

    limited_mlserver: MLServer = kept(f"limited mlserver, {database_kind}", make)
    return limited_mlserver


@pytest.fixture(params=DOORS)
def limited_door(request: pytest.FixtureRequest, limited: Service) -> Door:
    return open_door(request.param, limited, lambda: request.getfixturevalue("limited_mlserver"))


@pytest.fixture
def limited_rows(limited: Service) -> Iterator[Rows]:
    yield from counted(limited)
