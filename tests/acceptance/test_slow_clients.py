"""No client can stop the service: many bad ones, more than threads, and one good client.

What is asserted is what was answered while they were there, and that they are sent away in the
end. How long an answer takes is the machine's affair.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from memory_api.server.refusals import NOT_TAKEN
from testing.bodies import append_request, new_id, read_request
from testing.mlserver import MLServer
from testing.processes import Process
from testing.service import Service, write_memories
from tests.bad_clients import KINDS, BadClients, kinds, open_connections
from tests.wire import INFER, head

pytestmark = [pytest.mark.one_database, pytest.mark.slow]

THREADS = 2
MANY = 12
# More than sockets buffer between a service and a client that does not read.
LARGE = 12_000_000


def served(folder: Path, **limits: str) -> Service:
    write_memories(folder / "models")
    return Service(folder, MODELS_DIR=str(folder / "models"), THREADS=str(THREADS), **limits)


def store_large(service: Process) -> str:
    """Store a message whose reply fills the buffers of sockets; its conversation."""
    memory_id = new_id()
    assert infer(service, append_request(memory_id, "x" * LARGE)) == 200
    return memory_id


def infer(service: Process, document: object) -> int:
    return requests.post(service.url + INFER, json=document, timeout=30).status_code


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose limits on clients are longer than a test."""
    folder = tmp_path_factory.mktemp("patient")
    with served(folder, CLIENT_TIMEOUT="120", KEEPALIVE_TIMEOUT="120") as service:
        yield service


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("strict")
    limits = {"CLIENT_TIMEOUT": "1", "BODY_TIMEOUT": "2", "REPLY_TIMEOUT": "2"}
    with served(folder, KEEPALIVE_TIMEOUT="1", **limits) as service:
        yield service


@pytest.fixture(scope="module")
def inside_mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    folder = tmp_path_factory.mktemp("mlserver")
    write_memories(folder / "memories")
    with MLServer(folder, folder / "memories") as service:
        yield service


SERVERS = ["patient", pytest.param("inside_mlserver", marks=pytest.mark.needs("mlserver"))]


@pytest.fixture(params=SERVERS)
def service(request: pytest.FixtureRequest) -> Process:
    service: Process = request.getfixturevalue(request.param)
    return service


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_client_is_served_while_many_bad_ones_are_there(service, kind):
    bad = kinds(INFER, store_large(service))[kind]
    memory_id = new_id()
    wait_until(lambda: open_connections(service) == 0)  # or one of before may go meanwhile
    with BadClients(service, bad, MANY):
        for n in range(5):
            assert infer(service, append_request(memory_id, str(n))) == 200
            assert infer(service, read_request(memory_id)) == 200
            for path in ("/v2/health/live", "/v2/health/ready"):
                assert requests.get(service.url + path, timeout=30).status_code == 200
        if bad.stays:
            assert open_connections(service) >= MANY


@pytest.mark.parametrize("kind", KINDS)
def test_bad_clients_are_sent_away_in_time(strict, kind):
    bad = kinds(INFER, store_large(strict))[kind]
    with BadClients(strict, bad, MANY) as clients:
        wait_until(lambda: open_connections(strict) == 0)
        if bad.told:
            assert set(clients.statuses()) == set(bad.told)


@pytest.mark.parametrize("leaves", [False, True])
def test_the_log_has_a_second_line_for_a_reply_that_its_client_did_not_take(strict, leaves):
    read = json.dumps(read_request(store_large(strict))).encode()
    before = strict.log.read_text()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", strict.port))
        sock.sendall(head("POST", INFER, content_length=str(len(read))) + read)
        wait_until(lambda: " status=200 " in strict.log.read_text().removeprefix(before))
        if leaves:
            sock.close()
        wait_until(lambda: NOT_TAKEN in strict.log.read_text().removeprefix(before))
    first, second = strict.log.read_text().removeprefix(before).splitlines()
    (request_id,) = re.findall(r" request_id=(\S+) .* status=200 ", first)
    (waited,) = re.findall(f' request_id={request_id} .* ms=(\\S+) error="{NOT_TAKEN}"$', second)
    assert leaves or float(waited) >= 1000


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
