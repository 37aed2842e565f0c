"""Reload and unload under load: nobody sees it, and nothing is left of what was unloaded.

MLServer loads the new memory before it unloads the old one, in the same process; both work
on the same database, with the same threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import psycopg
import pytest
import requests
from sqlalchemy.engine import make_url

from testing.bodies import new_id
from tests.length import times
from tests.mlserver.core2 import Core2Server, memory, request, saying, tensors_of
from tests.soak.checker import WINDOW
from tests.soak.databases import stored
from tests.soak.load import Load
from tests.soak.mlserver_load import NOT_LOADED_YET, UNKNOWN_MODEL, BothDoors
from tests.soak.outages import checked

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.soak]

RELOADS = times(5, soak=30)
UNLOADS = times(2, soak=6)
THREADS = 4
POOL = {"connection_options": {"pool_size": 2, "max_overflow": 0}}
SECONDS = 10


@pytest.fixture
def url(database_kind: str, new_database: Callable[[str], str]) -> str:
    return new_database(database_kind)


@pytest.fixture(scope="module")
def core2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core2Server]:
    folder = tmp_path_factory.mktemp("reload")
    with Core2Server(folder, THREADS=str(THREADS), PGAPPNAME="reloaded") as core2:
        yield core2


@pytest.fixture(params=[{}, POOL], ids=["", "pool"])
def config(request: pytest.FixtureRequest, url: str) -> dict[str, Any]:
    """How the memory's connections are kept."""
    config: dict[str, Any] = request.param
    if config and not url.startswith("postgresql"):
        return {"connection_options": {"pool_size": 5}}  # others have no pool to end
    return config


# --- What a memory holds of its server ---------------------------------------------------


class Held:
    """What the server's process has open because of the memories over the database at `url`."""

    def __init__(self, core2: Core2Server, url: str) -> None:
        self.process = psutil.Process(core2.process.pid)
        self.url = make_url(url)

    def connections(self) -> int:
        """The connections of the database's server, or the open descriptors of its files."""
        backend = self.url.get_backend_name()
        if backend == "sqlite":
            ours = f"{os.path.realpath(str(self.url.database))}"
            return sum(file.path.startswith(ours) for file in self.process.open_files())
        if backend == "postgresql":
            with psycopg.connect(self.url.render_as_string(hide_password=False)) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                ).fetchone()
            assert row
            return int(row[0])
        ends = self.process.net_connections("tcp")
        return sum(bool(end.raddr) and end.raddr.port == self.url.port for end in ends)

    def threads(self) -> int:
        return int(self.process.num_threads())


def until(what: Callable[[], int | bool], wanted: int | bool) -> int | bool:
    """What `what` says once it is `wanted`, or after SECONDS."""
    deadline = time.monotonic() + SECONDS
    while (now := what()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def most_of(url: str, config: dict[str, Any]) -> int:
    """The most that a memory may hold."""
    if url.startswith("sqlite"):
        return THREADS * 3  # of the file, of its log and of that one's index
    size: int = config.get("connection_options", {}).get("pool_size", THREADS)
    return min(size, THREADS)


def several_at_once(core2: Core2Server, name: str) -> None:
    """So many requests at once that all of the memory's threads are used."""
    futures = [
        core2.grpc.ModelInfer.future(request(name, {"memory_id": [new_id()]}), timeout=30)
        for _ in range(8 * THREADS)
    ]
    for future in futures:
        future.result()


# --- Reload ------------------------------------------------------------------------------


def test_reloads_under_load_are_not_noticed_and_leave_nothing(core2, url, config):
    artifact = memory("reloaded", url, window_size=WINDOW, **config)
    name = core2.agent.put(artifact)
    held = Held(core2, url)
    # What MLServer keeps for good, such as threads of its own, it has after the first times.
    for _ in range(2):
        core2.agent.load(name)
        several_at_once(core2, name)
        core2.agent.load(name)
        core2.agent.unload(name)
    assert until(held.connections, 0) == 0
    threads = held.threads()

    core2.agent.load(name)
    connections = []
    with BothDoors(core2, core2.grpc_port, lambda: name) as clients:
        clients.more(50)
        for n in range(RELOADS):
            if n % 2:
                core2.agent.load(name)
            else:
                repository = f"{core2.url}/v2/repository/models/{name}/load"
                assert requests.post(repository, timeout=30).status_code == 200
            connections.append(held.connections())
            clients.more(10)
    assert_nothing_wrong(url, clients, RELOADS * 10)
    assert not clients.failed, clients.failed[:5]
    # Not the most of them: a load has one of its own to migrate by, and what was closed may
    # still be ending.
    assert 0 < min(connections[-10:]) <= most_of(url, config), connections

    core2.agent.unload(name)
    assert until(held.connections, 0) == 0
    # Some of the first times' may have been ending while they were counted.
    assert until(lambda: held.threads() < threads + THREADS, True)


def assert_nothing_wrong(url: str, clients: Load, at_least: int) -> None:
    report = checked(url, clients)
    assert not any(report.wrong.values()), str(report)
    assert report.acknowledged >= at_least, str(report)


def test_a_reload_to_another_database_leaves_nothing_of_the_first(
    core2, url, database_kind, new_database
):
    name = core2.agent.loaded(memory("moved", url, window_size=WINDOW))
    first, second_url = Held(core2, url), new_database(database_kind)
    with BothDoors(core2, core2.grpc_port, lambda: name) as clients:
        clients.more(100)
        core2.agent.put(memory("moved", second_url, window_size=WINDOW))
        core2.agent.load(name)
        moved = len(clients.acknowledged)
        clients.more(100)
    assert not clients.failed, clients.failed[:5]
    assert until(first.connections, 0) == 0
    assert Held(core2, second_url).connections() > 0
    # All that was acknowledged is in one of the two, each text once.
    places = [stored(each) for each in (url, second_url)]
    for text, *_ in clients.acknowledged:
        found = [place.get(text.memory_id, ()).count(text.body) for place in places]
        assert sorted(found) == [0, 1], text
    assert moved >= 100
    core2.agent.unload(name)


# --- Unload ------------------------------------------------------------------------------


def test_an_unload_under_load_answers_what_is_under_way_and_loses_nothing(core2, url, config):
    artifact = memory("unloaded", url, window_size=WINDOW, **config)
    name = core2.agent.loaded(artifact)
    held = Held(core2, url)
    with BothDoors(core2, core2.grpc_port, lambda: name) as clients:
        for _ in range(UNLOADS):
            clients.more(60)
            core2.agent.unload(name)
            assert until(held.connections, 0) == 0
            core2.agent.load(name)
        clients.more(60)
    assert_nothing_wrong(url, clients, UNLOADS * 60)
    # Nothing but MLServer's own words that there is no such model, or that it is being loaded.
    assert {failed.how for failed in clients.failed} <= {UNKNOWN_MODEL, NOT_LOADED_YET}
    core2.agent.unload(name)
    assert until(held.connections, 0) == 0


def test_one_memory_is_unloaded_while_another_one_over_its_database_goes_on(core2, url, config):
    """The last thread of one must not take the other's connections with it."""
    name = core2.agent.loaded(memory("stays", url, window_size=WINDOW, **config))
    other = core2.agent.put(memory("goes", url, window_size=WINDOW, **config))
    with BothDoors(core2, core2.grpc_port, lambda: name) as clients:
        for _ in range(UNLOADS):
            core2.agent.load(other)
            several_at_once(core2, other)
            clients.more(20)
            core2.agent.unload(other)
            clients.more(20)
    assert_nothing_wrong(url, clients, UNLOADS * 40)
    assert not clients.failed, clients.failed[:5]
    core2.agent.unload(name)
    assert until(Held(core2, url).connections, 0) == 0


def test_memories_over_one_database_are_loaded_and_unloaded_at_once(core2, url, config):
    """Each is the last one over its database now and then, just as another one comes."""
    names = [core2.agent.put(memory(f"turns-{n}", url, **config)) for n in range(3)]
    wrong: list[object] = []

    def turns(name: str) -> None:
        try:
            for n in range(15):
                core2.agent.load(name)
                memory_id = f"{name}-{n}"
                reply = core2.infer(request(name, saying(memory_id, "Hi")))
                if len(tensors_of(reply)["history"]) != 1:
                    wrong.append(memory_id)
                core2.agent.unload(name)
        except Exception as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=turns, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert until(Held(core2, url).connections, 0) == 0


def test_reloads_of_one_memory_at_once_leave_nothing(core2, url):
    """As several requests may make the agent ask for them."""
    name = core2.agent.loaded(memory("crowded", url))
    threads = [threading.Thread(target=core2.agent.load, args=(name,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    reply = core2.infer(request(name, saying("x", "Hi")))
    assert len(tensors_of(reply)["history"]) == 1
    core2.agent.unload(name)
    assert until(Held(core2, url).connections, 0) == 0
