"""Clients that write without pause to a running service, and remember what was acknowledged."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from itertools import count, cycle
from typing import Protocol, Self
from urllib.parse import urlsplit

from convstore.database import fault
from memory_api.server.refusals import OVERLOADED
from testing.bodies import append_request
from tests.soak.checker import (
    BUSY,
    CONFLICT,
    WINDOW,
    Acknowledged,
    Failed,
    Text,
    without_busy,
)

MEMORY = "memory"
ASKED = {"window_size": WINDOW}
CLIENTS = 8
# Half of all texts go to the hot conversation, the others to one of the quiet ones.
HOT = "hot"
QUIET = [f"quiet-{n}" for n in range(40)]
# Then a client comes back over a new connection, so that each worker has some of them.
REQUESTS_OF_A_CONNECTION = 25
# A service closes what is idle for KEEPALIVE_TIMEOUT, 75 seconds.
IDLE_SECONDS = 60
PAUSE_AFTER_A_FAILURE = 0.1
# Longer than a request may wait for its database: without an answer by then, none comes.
ANSWER_SECONDS = 30
PROGRESS_SECONDS = 60

# The ways to fail that the contract has: nobody there, somebody who dies, a database away.
REFUSED = "connection refused"
CUT = "connection cut"
UNAVAILABLE = "503"


# How a reply other than 200 is named: by the response, and its body.
Status = Callable[[HTTPResponse, bytes], str]


class Writer(Protocol):
    """One who says one text at a time, and none again."""

    def say(self, text: Text) -> Acknowledged | Failed: ...

    def close(self) -> None: ...


class Load:
    """Clients of the service at `url`, who write from the begin of `with` to its end.

    Two loads on one database must number their clients differently.
    """

    def __init__(self, url: str, number_from: int = 0, clients: int = CLIENTS) -> None:
        self.address = urlsplit(url).netloc
        self.numbers = range(number_from, number_from + clients)
        self.acknowledged: list[Acknowledged] = []
        self.failed: list[Failed] = []
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._clients: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._clients = [self._pool.submit(self._write, number) for number in self.numbers]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()  # raises what a client died of

    def more(self, messages: int) -> None:
        """Wait until so many more messages are acknowledged."""
        enough = len(self.acknowledged) + messages
        deadline = time.monotonic() + PROGRESS_SECONDS
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline, f"nothing but {self.failed[-3:]}"
            time.sleep(0.005)

    def wait_for_a_failure(self) -> None:
        known = len(without_busy(self.failed))
        deadline = time.monotonic() + PROGRESS_SECONDS
        while len(without_busy(self.failed)) == known:
            assert time.monotonic() < deadline, "no request failed"
            time.sleep(0.005)

    def client(self, number: int) -> Writer:
        """What client `number` writes through."""
        return Client(self.address)

    def _write(self, number: int) -> None:
        client = self.client(number)
        choose = random.Random(number)
        for n in count():
            if self._ended.is_set():
                break
            memory_id = choose.choice((HOT, choose.choice(QUIET)))
            outcome = client.say(Text(memory_id, number, n))
            if isinstance(outcome, Acknowledged):
                self.acknowledged.append(outcome)
            else:
                self.failed.append(outcome)
                time.sleep(PAUSE_AFTER_A_FAILURE)
        client.close()


class Client:
    """One who says one text at a time, and none again. http.client never repeats a request."""

    def __init__(
        self, address: str, *, with_keys: bool = False, status: Status | None = None
    ) -> None:
        self._connection = HTTPConnection(address, timeout=ANSWER_SECONDS)
        self._status = status or status_of
        self._with_keys = with_keys
        self._opened = self._used = 0.0
        self._requests = 0

    def close(self) -> None:
        self._connection.close()

    def say(self, text: Text) -> Acknowledged | Failed:
        is_idle = time.monotonic() > self._used + IDLE_SECONDS
        if is_idle or self._requests == REQUESTS_OF_A_CONNECTION:
            self.close()
        if self._connection.sock is None:
            self._opened, self._requests = time.monotonic(), 0
        self._requests += 1
        sent = time.monotonic()
        try:
            response, answer = self._post(text)
        except (OSError, HTTPException) as error:
            self.close()
            # What cut the connection may have done so when nobody was looking.
            return Failed(text, way(error), self._opened, time.monotonic())
        if response.status == 200:
            return Acknowledged(text, _history(answer), time.monotonic())
        return Failed(text, self._status(response, answer), sent, time.monotonic())

    def _post(self, text: Text) -> tuple[HTTPResponse, bytes]:
        body = json.dumps(append_request(text.memory_id, text.value, parameters=ASKED)).encode()
        headers = {"Idempotency-Key": str(text)} if self._with_keys else {}
        self._connection.request("POST", f"/v2/models/{MEMORY}/infer", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        self._used = time.monotonic()
        return response, answer


class Persistent:
    """One who says a text with a key until it is acknowledged, at each service in turn."""

    def __init__(
        self, addresses: Sequence[str], failed: list[Failed], status: Status | None
    ) -> None:
        self._clients = [Client(address, with_keys=True, status=status) for address in addresses]
        self._failed = failed

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def say(self, text: Text) -> Acknowledged | Failed:
        deadline = time.monotonic() + PROGRESS_SECONDS
        for client in cycle(self._clients):
            outcome = client.say(text)
            if isinstance(outcome, Acknowledged) or time.monotonic() > deadline:
                break
            self._failed.append(outcome)
            time.sleep(PAUSE_AFTER_A_FAILURE)
        return outcome


class Roaming(Load):
    """A Load on several services, whose clients try again, with the same key, at the next one."""

    def __init__(self, *urls: str, status: Status | None = None) -> None:
        super().__init__(urls[0])
        self.status = status
        self.addresses = [urlsplit(url).netloc for url in urls]

    def client(self, number: int) -> Writer:
        home = number % len(self.addresses)
        services = self.addresses[home:] + self.addresses[:home]
        return Persistent(services, self.failed, self.status)


def way(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    return CUT if isinstance(error, ConnectionError | IncompleteRead) else repr(error)


def status_of(response: HTTPResponse, answer: bytes) -> str:
    """BUSY or UNAVAILABLE only in the form that the contract gives them; else the whole answer."""
    as_agreed = response.status == 503 and response.headers["Retry-After"]
    if as_agreed:
        error = json.loads(answer)["error"]
        sentence = error["message"] if isinstance(error, dict) else error  # as OpenAI has it
        if isinstance(sentence, str):
            return BUSY if sentence == OVERLOADED else UNAVAILABLE
    return f"{response.status} {answer.decode()}"


def status_on_a_cluster(response: HTTPResponse, answer: bytes) -> str:
    """As status_of, but CONFLICT where the database was too busy."""
    how = status_of(response, answer)
    is_conflict = how == UNAVAILABLE and json.loads(answer)["error"] == fault.BUSY.sentence
    return CONFLICT if is_conflict else how


def _history(answer: bytes) -> tuple[str, ...]:
    (history,) = [out for out in json.loads(answer)["outputs"] if out["name"] == "history"]
    return tuple(map(sys.intern, history["data"]))
