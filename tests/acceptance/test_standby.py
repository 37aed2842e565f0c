"""A service whose memory reads from a standby of PostgreSQL, at each door and in the admin."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from testing.bodies import append_request, new_id, read_request
from testing.mlserver import MLServer
from testing.service import Service, write_memory
from testing.standby import StandbyPair
from tests.doors import Door, HttpDoor, open_door
from tests.visitor import CONVERSATIONS, PASSWORD, Visitor, first_user, transcript

pytestmark = [pytest.mark.slow, pytest.mark.needs("postgresql")]

DATABASE = "service"
STALE = {"stale": True}


@pytest.fixture(scope="module")
def pair() -> Iterator[StandbyPair]:
    with StandbyPair() as pair:
        pair.primary.execute(f"CREATE DATABASE {DATABASE}")
        yield pair


@pytest.fixture(scope="module")
def service(pair: StandbyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The memories `memory`, and `behind`, whose reads are the standby's by default."""
    folder = tmp_path_factory.mktemp("standby")
    config = {"read_url": pair.standby.url(DATABASE)}
    write_memory(folder / "models", "memory", {"database": "sql", "config": config})
    config = {**config, "stale_reads": "true"}  # as Seldon's agent writes it
    write_memory(folder / "models", "behind", {"database": "sql", "config": config})
    url = pair.primary.url(DATABASE)
    with Service(folder, DATABASE_URL=url, MODELS_DIR=str(folder / "models")) as service:
        pair.catch_up()
        yield service


@pytest.fixture(scope="module")
def mlserver(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    models, url = Path(service.environment["MODELS_DIR"]), service.environment["DATABASE_URL"]
    folder = tmp_path_factory.mktemp("standby_mlserver")
    with MLServer(folder, models, DATABASE_URL=url) as mlserver:
        yield mlserver


@pytest.fixture
def open_the(request: pytest.FixtureRequest, service: Service) -> Callable[[str], Door]:
    return lambda name: open_door(name, service, lambda: request.getfixturevalue("mlserver"))


@pytest.mark.parametrize("door", ["http", "rest", "grpc"])
def test_reads_that_may_be_stale_are_the_standbys_at_each_door(pair, open_the, door):
    the, talk = open_the(door), new_id()
    assert the.infer(append_request(talk, "1")).status == 200
    pair.pause()
    appended = append_request(talk, "2", parameters=STALE)
    assert the.infer(appended).texts == ["1", "2"]
    assert the.infer(read_request(talk)).texts == ["1", "2"]
    assert the.infer(read_request(talk, parameters=STALE)).texts == ["1"]
    assert the.infer(read_request(talk), "behind").texts == ["1"]
    assert the.infer(read_request(talk, parameters={"stale": False}), "behind").texts == ["1", "2"]
    assert the.infer(read_request(new_id()), "behind").texts == []
    pair.resume()
    assert the.infer(read_request(talk), "behind").texts == ["1", "2"]


def test_the_start_the_log_and_the_metrics_tell_of_the_standby(service):
    door, request_id = HttpDoor(service), new_id()
    door.infer(read_request("x", parameters=STALE), **{"X-Request-Id": request_id})
    log = service.log.read_text()
    (line,) = [line for line in log.splitlines() if f"request_id={request_id} door" in line]
    assert line.endswith(" window=0 read_from=standby")
    assert re.search(rf"memory: window of .* with the standby PostgreSQL, {DATABASE} on ", log)
    metrics = requests.get(f"{service.url}/metrics", timeout=10).text
    assert re.search(r'memory_standby_reads_total\{model="memory",version=""\} [1-9]', metrics)


def test_the_admin_searches_on_the_standby_and_exports_all_messages(pair, service):
    door, talk, word = HttpDoor(service), new_id(), new_id().replace("-", "")
    with requests.Session() as session:
        admin = Visitor(service, session)
        admin.sign_in(first_user(service), PASSWORD)
        assert door.infer(append_request(talk, "1")).status == 200
        pair.pause()
        assert door.infer(append_request(talk, f"Here is {word}.")).status == 200
        link, search = f"{transcript(talk)}?position=2", f"{CONVERSATIONS}search/"
        page = admin.get(search, q=word)
        assert link not in page
        assert "Read from a standby" in page
        exported = admin.get(f"{transcript(talk)}export/stored/").splitlines()
        assert [json.loads(line)["position"] for line in exported] == [1, 2]
        pair.resume()
        assert link in admin.get(search, q=word)
        pair.standby.stop()
        assert link in admin.get(search, q=word)
        exported = admin.get(f"{transcript(talk)}export/stored/").splitlines()
        assert len(exported) == 2
        pair.standby.start()
        deadline = time.monotonic() + 60
        while "answers again" not in service.log.read_text():  # other tests need it
            assert time.monotonic() < deadline
            admin.get(search, q=word)
            time.sleep(0.5)
