"""Servers that do not answer: frozen, mute, or with no connection to spare. Each call ends in time.

A server is frozen by SIGSTOP to all its processes, as by a disk that hangs: the machine
goes on taking its connections.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pytest
import requests
from django.core.management import call_command
from django.db import connections
from sqlalchemy.engine import make_url

from convstore.database.url import database_alias
from convstore.errors import Unavailable
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from testing.bodies import append_request, new_id, read_request
from testing.mariadb import MariaDb
from testing.postgres import Postgres
from testing.servers import stop_and_list
from testing.service import Service, write_memory
from tests.conftest import made_in
from tests.doors import HttpDoor, Reply

Server = Postgres | MariaDb

TIMEOUT = 1  # DATABASE_TIMEOUT, in seconds
# An answer is waited for a second longer, so that a server's own limit comes first. Ten times
# that is for a busy machine: a wait without a limit takes longer.
BOUND_SECONDS = 10 * (TIMEOUT + 1)
# A pool that is left without a server for so long has made its pauses long.
OUTAGE_SECONDS = 8

pytestmark = pytest.mark.slow

HELLO = [Message("user", (Part("text", "hello"),))]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Postgres, marks=pytest.mark.needs("postgresql")),
        pytest.param(MariaDb, marks=pytest.mark.needs("mariadb")),
    ],
)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that nobody else uses."""
    with request.param() as server:
        yield server


@pytest.fixture
def impatient(settings: Any) -> None:
    settings.DATABASE_TIMEOUT = TIMEOUT


def new_url(server: Server) -> str:
    """The URL of a new database on the server."""
    return made_in(make_url(server.url()))


def migrated(store: ConversationStore) -> ConversationStore:
    call_command("migrate", "convstore", database=store.using, verbosity=0)
    return store


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Every process of the server is stopped, and goes on at the end."""
    processes = stop_and_list(server.process.pid)
    for process in processes:
        process.suspend()
    try:
        while not all(map(is_stopped, processes)):
            time.sleep(0.001)
        yield
    finally:
        for process in processes:
            process.resume()


def is_stopped(process: psutil.Process) -> bool:
    """Whether all its threads are, some of which may run on for a moment."""
    states = {psutil.Process(thread.id).status() for thread in process.threads()}
    return states == {psutil.STATUS_STOPPED}


@contextmanager
def in_time() -> Iterator[None]:
    before = time.monotonic()
    yield
    assert time.monotonic() - before < BOUND_SECONDS


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("variant", [statements_for, PortableOrm], ids=["fast", "portable"])
def test_a_server_that_is_frozen_is_unavailable_in_time_and_heals_by_itself(own_server, variant):
    store = migrated(ConversationStore(database_alias(new_url(own_server)), variant))
    key = uuid.uuid4()
    assert store.append("a", HELLO) == 1
    with frozen(own_server):
        # Over the connection that there is; then there is none, and no other to be had.
        for ask in (lambda: store.exchange("a", HELLO, 10, key), lambda: store.window("a", 10)):
            with in_time(), pytest.raises(Unavailable):
                ask()
    # What was asked of the frozen server may have been done by it since, or be so yet.
    with in_time():
        assert [row.position for row in store.exchange("a", HELLO, 10, key)] == [1, 2]
    assert store.append("a", HELLO) == 3
    assert [row.position for row in store.window("a", 10)] == [1, 2, 3]
    connections[store.using].close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("variant", [statements_for, PortableOrm], ids=["fast", "portable"])
def test_a_window_of_a_frozen_server_is_unavailable_in_time_and_heals(own_server, variant):
    store = migrated(ConversationStore(database_alias(new_url(own_server)), variant))
    assert store.append("a", HELLO) == 1
    with frozen(own_server), in_time(), pytest.raises(Unavailable):
        store.window("a", 10)
    with in_time():
        assert [row.position for row in store.window("a", 10)] == [1]
    connections[store.using].close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_a_server_that_never_says_a_word_is_unavailable_in_time(dialect):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{dialect}://user:password@127.0.0.1:{mute.getsockname()[1]}/database"
        store = ConversationStore(database_alias(url))
        for ask in (lambda: store.append("a", HELLO), lambda: store.window("a", 1)):
            with in_time(), pytest.raises(Unavailable, match="cannot be reached"):
                ask()
        assert connection_count(mute) == 2  # one for each, so each waited once


def connection_count(listener: socket.socket) -> int:
    """How many were made to it, none of which was accepted."""
    listener.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


# --- A pool ------------------------------------------------------------------------------


@pytest.fixture
def pooled(impatient: None) -> Iterator[Callable[[str], ConversationStore]]:
    """Make a store with one connection at most."""
    stores = []

    def make(url: str) -> ConversationStore:
        options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": TIMEOUT}
        stores.append(ConversationStore(database_alias(url, options)))
        return migrated(stores[-1])

    yield make
    for store in stores:
        connections[store.using].close()
        connections[store.using].close_pool()  # type: ignore[attr-defined]


@pytest.mark.needs("postgresql")
def test_a_pool_that_is_exhausted_is_unavailable_in_time_and_later_it_serves(pooled, new_database):
    store = pooled(new_database("postgresql"))
    assert store.append("a", HELLO) == 1
    connections[store.using].close()  # back to the pool
    refused = pytest.raises(Unavailable, match="cannot be reached")
    with taken(store), in_time(), refused:
        store.append("a", HELLO)
    assert store.append("a", HELLO) == 2


@contextmanager
def taken(store: ConversationStore) -> Iterator[None]:
    """Another thread has the pool's connection."""
    has_it, may_go = threading.Event(), threading.Event()

    def take() -> None:
        connections[store.using].ensure_connection()
        has_it.set()
        may_go.wait()
        connections[store.using].close()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(take)
        assert has_it.wait(60)
        try:
            yield
        finally:
            may_go.set()
        other.result()


@pytest.mark.needs("postgresql")
def test_a_pool_heals_when_its_server_was_away_for_long(pooled):
    with Postgres() as server:
        store = pooled(server.url())
        assert store.append("a", HELLO) == 1
        server.stop()
        until = time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < until:
            with in_time(), pytest.raises(Unavailable):
                store.append("a", HELLO)
        server.start()
        assert healed(lambda: store.append("a", HELLO)) == 2


def healed(ask: Callable[[], Any]) -> Any:
    """The first answer, which comes soon."""
    with in_time():
        while True:
            with suppress(Unavailable):
                return ask()


# --- Over HTTP ---------------------------------------------------------------------------


def test_a_frozen_database_is_503_in_time_while_another_memory_answers(own_server, tmp_path):
    models = tmp_path / "models"
    write_memory(models, "server", {"database": "sql", "config": {}})
    write_memory(models, "file", {"database": "filesys", "config": {"path": f"{tmp_path}/data"}})
    with Service(
        tmp_path,
        DATABASE_URL=new_url(own_server),
        MODELS_DIR=str(models),
        DATABASE_TIMEOUT=str(TIMEOUT),
    ) as service:
        door = HttpDoor(service)
        memory_id = new_id()
        for memory in ("server", "file"):
            assert door.infer(append_request(memory_id, "0"), memory).texts == ["0"]
        with frozen(own_server):
            for document in (append_request(memory_id, "1"), read_request(memory_id)):
                assert_refused_while_the_file_answers(service, document)
            with in_time():
                assert status_of(service, "/v2/models/server/ready") == 503
            # The first one may ask the server before the file, and later ones ask the file.
            with in_time():
                assert status_of(service, "/v2/health/ready") == 200
            with refused_meanwhile(service, read_request(memory_id)) as refused:
                assert status_of(service, "/v2/health/ready") == 200
                assert not refused.done()
        with in_time():
            while (reply := door.infer(append_request(memory_id, "2"), "server")).status == 503:
                pass
        # What was refused may have been done when the server went on.
        assert reply.texts in (["0", "2"], ["0", "1", "2"])
        assert status_of(service, "/v2/models/server/ready") == 200


@contextmanager
def refused_meanwhile(service: Service, document: object) -> Iterator[Future[Reply]]:
    """A request to the frozen server while this runs: 503 in time."""
    with ThreadPoolExecutor(1) as pool, in_time():
        asked = pool.submit(HttpDoor(service).infer, document, "server")
        yield asked
        reply = asked.result()
    assert reply.status == 503
    assert reply.headers["Retry-After"] == "1"
    assert set(reply.document) == {"error"}


def assert_refused_while_the_file_answers(service: Service, document: object) -> None:
    door = HttpDoor(service)
    answered = 0
    with refused_meanwhile(service, document) as refused:
        while not refused.done():
            assert door.infer(append_request(new_id(), "hello"), "file").texts == ["hello"]
            answered += 1
    assert answered > 1


def status_of(service: Service, path: str) -> int:
    return requests.get(f"{service.url}{path}", timeout=30).status_code
