"""What breaks under load: the database, a worker, the whole server; and what is not there yet.

Every acknowledged message is there exactly once and in order, each failure is one that the
door may answer with, and all goes on by itself.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import grpc
import psutil
import pytest
import requests
from django.db import connections

from convstore.database.url import database_alias
from testing.bodies import append_request, new_id
from testing.postgres import is_alive
from testing.processes import ROOT
from tests.length import times
from tests.mlserver.core2 import (
    KINDS,
    Core2Server,
    body,
    memory,
    request,
    saying,
    tensors_of,
)
from tests.soak.checker import WINDOW, Outage, unexplained
from tests.soak.databases import SERVERS, database, kill, made_on, restart, short_on
from tests.soak.load import CUT, REFUSED, UNAVAILABLE
from tests.soak.mlserver_load import (
    CANCELLED,
    NO_WORKER,
    NOT_LOADED_YET,
    UNKNOWN_MODEL,
    BothDoors,
)
from tests.soak.outages import assert_all_kept, checked, outages

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.soak]

KINDS_WITH_A_SERVER = [kind for kind in KINDS if kind in SERVERS]
KILLS = times(2, soak=3)
SERVER_KILLS = times(1, soak=3)
RESTARTS = times(1, soak=3)
WORKER_KILLS = times(1, soak=2)
SECONDS_WITHOUT_A_WORKER = 1
SECONDS_BETWEEN_RESTARTS = 1
SECONDS = 30  # as Kubernetes waits for the end of a container before it kills it
REPLICAS = 3


@contextmanager
def serving(folder: Path, url: str, workers: int = 0) -> Iterator[tuple[Core2Server, str]]:
    """A server with one memory over the database at `url`, and that one's name."""
    with Core2Server(folder, workers) as core2:
        yield core2, core2.agent.loaded(memory("memory", url, window_size=WINDOW))


def clients_of(core2: Core2Server, name: str) -> BothDoors:
    return BothDoors(core2, core2.grpc_port, lambda: name)


def until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def answers(core2: Core2Server, name: str) -> bool:
    """Whether the memory can be read."""
    try:
        core2.infer(request(name, {"memory_id": [new_id()]}))
    except grpc.RpcError:
        return False
    return True


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


# --- Under load --------------------------------------------------------------------------


if KINDS_WITH_A_SERVER:  # an SQLite file is never away

    @pytest.mark.parametrize("kind", KINDS_WITH_A_SERVER)
    @pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.soak_only), 1])
    def test_a_database_that_is_killed_and_restarted_keeps_every_acknowledged_message(
        kind, workers, tmp_path
    ):
        with SERVERS[kind]() as server:
            url = made_on(server)
            with serving(tmp_path, url, workers) as (core2, name):
                with clients_of(core2, name) as clients:
                    found = outages(clients, KILLS - 1, lambda: kill(server))
                    found += outages(clients, 1, lambda: kill(server, clients.wait_for_a_failure))
                    found += outages(
                        clients, RESTARTS, lambda: restart(server), SECONDS_BETWEEN_RESTARTS
                    )
                assert_all_kept(url, clients, found, {UNAVAILABLE})


@pytest.mark.parametrize("kind", short_on("postgresql", of=KINDS))
def test_a_server_that_is_killed_keeps_every_acknowledged_message(kind, tmp_path):
    with database(kind, tmp_path) as url, serving(tmp_path, url) as (core2, name):
        with clients_of(core2, name) as clients:
            kills = outages(clients, SERVER_KILLS, lambda: killed_and_started_again(core2, name))
        assert_all_kept(url, clients, kills, {REFUSED, CUT, UNKNOWN_MODEL, NOT_LOADED_YET})


@pytest.mark.parametrize("kind", short_on("sqlite", of=KINDS))
def test_a_worker_that_is_killed_keeps_every_acknowledged_message(kind, tmp_path):
    with database(kind, tmp_path) as url, serving(tmp_path, url, workers=1) as (core2, name):

        def hit() -> None:
            (victim,) = workers_of(core2)
            victim.kill()
            # MLServer 1.7.1 does not come back from each such death: the worker's lock on the
            # queue of answers dies with it. So the whole server follows.
            time.sleep(SECONDS_WITHOUT_A_WORKER)
            killed_and_started_again(core2, name)

        with clients_of(core2, name) as clients:
            kills = outages(clients, WORKER_KILLS, hit)
        ways = {REFUSED, CUT, UNKNOWN_MODEL, NOT_LOADED_YET, *NO_WORKER}
        assert_all_kept(url, clients, kills, ways)


def killed_and_started_again(core2: Core2Server, name: str) -> None:
    core2.channel.close()
    core2.signal(signal.SIGKILL)
    core2.process.wait()
    core2.__enter__()
    core2.agent.load(name)  # which the agent does as soon as the server lives


def workers_of(core2: Core2Server) -> list[psutil.Process]:
    children = psutil.Process(core2.process.pid).children()
    alive = [child for child in children if is_alive(child)]
    return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("kind", short_on("sqlite", of=KINDS))
def test_a_server_that_is_terminated_under_load_ends_soon_and_keeps_what_it_acknowledged(
    kind, tmp_path
):
    with database(kind, tmp_path) as url, serving(tmp_path, url) as (core2, name):
        with clients_of(core2, name) as clients:
            clients.more(200)
            begun = time.monotonic()
            os.kill(core2.process.pid, signal.SIGTERM)
            code = core2.process.wait(SECONDS)
            ended = Outage(begun, time.monotonic())
        assert code == 0
        report = checked(url, clients)
        assert not any(report.wrong.values()), str(report)
        # From then on nobody is there.
        ended = ended._replace(up=math.inf)
        strange = unexplained(clients.failed, [ended], {CUT, REFUSED, CANCELLED})
        assert not strange, strange[:5]


# --- What is not there yet ---------------------------------------------------------------


@contextmanager
def away(kind: str, folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The URL of a database that cannot be reached, and what makes it come."""
    if kind == "sqlite":
        blocked = folder / "not-mounted-yet"
        blocked.write_text("where a folder should be")

        def mounted() -> None:
            blocked.unlink()
            blocked.mkdir()

        yield f"sqlite:///{blocked}/test.sqlite3", mounted
        return
    with SERVERS[kind]() as server:
        url = made_on(server)
        server.stop()
        yield url, server.start


@pytest.mark.parametrize("kind", short_on("postgresql", of=KINDS))
def test_a_memory_whose_database_is_away_is_loaded_and_makes_its_tables_once_it_is_there(
    kind, tmp_path
):
    with away(kind, tmp_path) as (url, come), serving(tmp_path, url) as (core2, name):
        assert core2.state(name) == "READY"
        for _ in range(3):
            code, details = refusal(lambda: core2.infer(request(name, saying("x", "lost"))))
            assert code == grpc.StatusCode.UNAVAILABLE
            assert details == "the database cannot be reached"
            reply = requests.post(
                f"{core2.url}/v2/models/{name}/infer", json=append_request("x", "lost"), timeout=30
            )
            assert reply.status_code == 503
            assert reply.json() == {"error": "the database cannot be reached"}
        come()
        # All of them find that there are no tables.
        ids = [new_id() for _ in range(24)]
        futures = [
            core2.grpc.ModelInfer.future(request(name, saying(memory_id, "Hi")), timeout=30)
            for memory_id in ids
        ]
        for memory_id, future in zip(ids, futures, strict=True):
            assert tensors_of(future.result()) == {
                "memory_id": [memory_id],
                "history": [body("Hi")],
            }
        read = core2.infer(request(name, {"memory_id": ["x"]}))
        assert tensors_of(read)["history"] == []


@pytest.mark.parametrize("kind", short_on("postgresql", of=KINDS))
def test_a_memory_that_may_make_no_tables_says_what_to_run_and_is_loaded_after_that(kind, tmp_path):
    with database(kind, tmp_path) as url, Core2Server(tmp_path) as core2:
        name = core2.agent.put(memory("careful", url, auto_migrate=False))
        for _ in range(2):
            code, details = refusal(lambda: core2.agent.load(name))
            assert code == grpc.StatusCode.UNAVAILABLE
            assert details == (
                f"model {name}: the database's tables are not those of this version, and"
                " config.auto_migrate is false: run 'convstore migrate_memories' with the same"
                " MODELS_DIR and DATABASE_URL"
            )
            assert tables(url) == set()
        subprocess.run(
            [ROOT / ".venv-mlserver" / "bin" / "python", "manage.py", "migrate_memories"],
            cwd=ROOT,
            env={
                **os.environ,
                "MODELS_DIR": str(core2.agent.folder),
                "DATABASE_URL": url,
                "SECRET_KEY": "of the tests",
            },
            check=True,
            capture_output=True,
            timeout=60,
        )
        core2.agent.load(name)
        reply = core2.infer(request(name, saying("x", "Hi")))
        assert tensors_of(reply)["history"] == [body("Hi")]


def tables(url: str) -> set[str]:
    """The names of the tables in the database at `url`."""
    connection = connections[database_alias(url)]
    try:
        return set(connection.introspection.table_names())
    finally:
        connection.close()


@pytest.mark.parametrize("kind", short_on("postgresql", of=KINDS))
def test_replicas_that_start_at_once_on_an_empty_database_all_come_up(kind, tmp_path):
    """As Kubernetes starts them; each loads its memory by itself, at its start."""
    with database(kind, tmp_path) as url, ExitStack() as running:
        replicas = []
        for n in range(REPLICAS):
            folder = tmp_path / str(n)
            folder.mkdir()
            replica = Core2Server(folder, MLSERVER_LOAD_MODELS_AT_STARTUP="true")
            name = replica.agent.put(memory("replicated", url))
            replicas.append(replica)
        with ThreadPoolExecutor(REPLICAS) as starts:
            for started in starts.map(Core2Server.__enter__, replicas):
                running.push(started)
        for n, replica in enumerate(replicas):
            until(partial(answers, replica, name), f"replica {n} does not answer")
            reply = replica.infer(request(name, saying("x", str(n))))
        texts = [json.loads(each)["content"][0]["value"] for each in tensors_of(reply)["history"]]
        assert texts == [str(n) for n in range(REPLICAS)]
        applied = migrations(url)
        assert len(applied) == len(set(applied)) > 0


def migrations(url: str) -> list[str]:
    """The migrations that were run, as often as they were."""
    connection = connections[database_alias(url)]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM django_migrations WHERE app = 'convstore'")
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()
