"""More requests than can be served: some are told to try again, and others are served meanwhile.

Writers are held up by a lock on the database's file, which this process takes and releases.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager
from itertools import islice

import pytest
import requests

from memory_api.server.overload import HOLD_SECONDS
from testing.bodies import append_request, new_id, read_request
from testing.service import Service
from tests.bad_clients import BadClients, kinds, open_connections
from tests.visitor import PASSWORD, Visitor, first_user, transcript
from tests.wire import Wire, head

pytestmark = [pytest.mark.one_database, pytest.mark.slow]

INFER = "/v2/models/filesys-memory/infer"
THREADS = 4
MANY = 40
QUEUE_TIMEOUT = 10


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in which a request may wait for as long as a test takes."""
    folder = tmp_path_factory.mktemp("patient")
    timeouts = {"QUEUE_TIMEOUT": "120", "DATABASE_TIMEOUT": "60", "CLIENT_TIMEOUT": "60"}
    with Service(folder, THREADS=str(THREADS), **timeouts) as service:
        yield service


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in which a request waits for a thread for QUEUE_TIMEOUT at most."""
    folder = tmp_path_factory.mktemp("brisk")
    timeouts = {"QUEUE_TIMEOUT": str(QUEUE_TIMEOUT), "DATABASE_TIMEOUT": "60"}
    with Service(folder, THREADS=str(THREADS), **timeouts) as service:
        yield service


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MANY) as clients:
        yield clients


@contextmanager
def writers_held(service: Service) -> Iterator[None]:
    """Nobody else writes to the service's database; readers go on."""
    path = service.folder / "data" / "conversations.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def infer(service: Service, document: object) -> requests.Response:
    return requests.post(service.url + INFER, json=document, timeout=120)


def append(service: Service, memory_id: str) -> requests.Response:
    return infer(service, append_request(memory_id, "Hi"))


def assert_served(service: Service) -> None:
    assert infer(service, read_request(new_id())).status_code == 200
    assert_healthy(service)


def assert_healthy(service: Service) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert requests.get(service.url + path, timeout=120).status_code == 200


def none_is_done(futures: list[Future[requests.Response]]) -> bool:
    return not any(future.done() for future in futures)


def wait_for_connections(service: Service, count: int) -> None:
    """Until so many clients are connected, and have had time to send their requests."""
    deadline = time.monotonic() + 60
    while open_connections(service) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)


def test_when_all_threads_are_held_the_rest_are_told_to_try_again(brisk, clients):
    with writers_held(brisk):
        waiting = [clients.submit(append, brisk, new_id()) for _ in range(MANY)]
        wait_for_connections(brisk, MANY)
        time.sleep(QUEUE_TIMEOUT / 2)  # from now on nobody is let in
        refused = append(brisk, new_id())
        assert none_is_done(waiting)
        assert_told_to_try_again(refused)
        assert_refused_in_turn(brisk)
        assert_healthy(brisk)
        for future in islice(as_completed(waiting), MANY - THREADS):
            assert_told_to_try_again(future.result())
    assert Counter(future.result().status_code for future in waiting) == {
        200: THREADS,
        503: MANY - THREADS,
    }
    assert append(brisk, new_id()).status_code == 200


def assert_told_to_try_again(reply: requests.Response) -> None:
    assert reply.status_code == 503
    assert reply.json().keys() == {"error"}
    assert int(reply.headers["Retry-After"]) > 0


def assert_refused_in_turn(service: Service) -> None:
    """Whoever comes again at once takes no more time of the service than that allows."""
    begun = time.monotonic()
    with Wire(service) as wire:
        for n in range(1, 6):
            assert wire.infer(append_request(new_id(), "Hi"), INFER).status == 503
            assert time.monotonic() - begun >= n * HOLD_SECONDS


def test_health_is_told_while_threads_are_held_and_clients_are_slow(patient, clients):
    slow = kinds(INFER, new_id())
    with writers_held(patient), ExitStack() as stack:
        waiting = [clients.submit(append, patient, new_id()) for _ in range(2 * THREADS)]
        for kind in ("silent", "slow head", "slow body", "slow chunks"):
            stack.enter_context(BadClients(patient, slow[kind], MANY))
        wait_for_connections(patient, 2 * THREADS + 4 * MANY)
        for _ in range(20):
            assert_healthy(patient)
        assert none_is_done(waiting)
    assert {future.result().status_code for future in waiting} == {200}


def test_a_hot_conversation_leaves_threads_for_others(patient, clients):
    memory_id = new_id()
    with writers_held(patient):
        hot = [clients.submit(append, patient, memory_id) for _ in range(MANY)]
        wait_for_connections(patient, MANY)
        assert_served(patient)
        assert none_is_done(hot)
    assert {future.result().status_code for future in hot} == {200}
    window = infer(patient, read_request(memory_id, parameters={"window_size": 2 * MANY}))
    assert window.json()["outputs"][1]["shape"] == [MANY, 1]


def test_a_flood_of_sign_ins_leaves_threads_for_others(patient, clients):
    visitors = [Visitor(patient, requests.Session()) for _ in range(2 * THREADS)]
    tokens = [
        visitor.session.get(f"{patient.url}/admin/login/", timeout=30) for visitor in visitors
    ]
    assert {page.status_code for page in tokens} == {200}

    def sign_in(visitor: Visitor) -> requests.Response:
        form = {"username": new_id(), "password": "wrong"}
        form["csrfmiddlewaretoken"] = visitor.session.cookies["csrftoken"]
        url = f"{patient.url}/admin/login/"
        return visitor.session.post(url, data=form, headers={"Referer": url}, timeout=120)

    with writers_held(patient):  # each of them is to be written down
        flood = [clients.submit(sign_in, visitor) for visitor in visitors]
        wait_for_connections(patient, len(visitors))
        assert_served(patient)
        assert none_is_done(flood)
    assert {future.result().status_code for future in flood} == {200}


def test_exports_that_nobody_reads_leave_threads_for_others(patient):
    memory_id = new_id()
    large = append_request(memory_id, "x" * 1_000_000, parameters={"window_size": 1})
    for _ in range(12):
        assert infer(patient, large).status_code == 200
    visitor = Visitor(patient, requests.Session())
    visitor.sign_in(first_user(patient), PASSWORD)
    url = f"{patient.url}{transcript(memory_id)}export/stored/"

    def export() -> requests.Response:
        """Only the head is read."""
        cookies = visitor.session.cookies
        uncompressed = {"Accept-Encoding": "identity"}
        return requests.get(url, cookies=cookies, headers=uncompressed, stream=True, timeout=60)

    with closing(export()) as begun:
        assert begun.status_code == 200
        assert_told_to_try_again(export())
        assert_served(patient)
        assert begun.content.count(b"x") >= 12_000_000
    assert export().content.count(b"x") >= 12_000_000


def test_a_service_that_stops_answers_what_it_has_and_takes_nothing_more(tmp_path, clients):
    with Service(tmp_path, DATABASE_TIMEOUT="60") as service, Wire(service) as idle:
        assert idle.ask("GET", "/v2/health/live").status == 200
        with writers_held(service), Wire(service) as partial:
            body = json.dumps(append_request(new_id(), "Hi")).encode()
            partial.send(head("POST", INFER, content_length=str(len(body))), body[:9])
            whole = clients.submit(append, service, new_id())
            wait_for_connections(service, 3)
            service.signal(signal.SIGTERM)
            assert idle.is_closed()
            with pytest.raises(requests.ConnectionError):
                append(service, new_id())
            partial.send(body[9:])
            assert none_is_done([whole])
        # Here the lock on the database is released.
        assert whole.result().status_code == 200
