"""Clients who send the same requests with the same keys, again and again, and what they got."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from testing.bodies import append_request
from tests.soak.checker import WINDOW, Failed, Histories, Text
from tests.soak.load import (
    ANSWER_SECONDS,
    MEMORY,
    PAUSE_AFTER_A_FAILURE,
    PROGRESS_SECONDS,
    REQUESTS_OF_A_CONNECTION,
    status_of,
    way,
)

CLIENTS = 16
TALKS = [f"retried-{n}" for n in range(4)]
# A client sends one of the newest so many requests, and now and then a new one.
NEWEST, NEW_ONE_OF = 50, 10


class Answer(NamedTuple):
    """The body of a reply with 200, and when it came."""

    body: bytes
    at: float


class Retries:
    """CLIENTS clients of the services at `urls`, from the begin of `with` to its end.

    Each request is a Text, whose number is also its key. `answers` has each body that came back,
    with how often it did.
    """

    def __init__(self, *urls: str, with_keys: bool = True) -> None:
        self.addresses = [urlsplit(url).netloc for url in urls]
        self.with_keys = with_keys
        self.answers: defaultdict[Text, Counter[bytes]] = defaultdict(Counter)
        self.acknowledged: list[Answer] = []
        self.failed: list[Failed] = []
        self.sent = [Text(TALKS[0], 0, 1)]
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._clients: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._clients = [self._pool.submit(self._send, number) for number in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()  # raises what a client died of

    @property
    def retries(self) -> int:
        """How many answers came to a request that had been answered before."""
        return len(self.acknowledged) - len(self.answers)

    def more(self, retries: int) -> None:
        """Wait until so many more retries are answered."""
        enough = self.retries + retries
        deadline = time.monotonic() + PROGRESS_SECONDS + retries / 20
        while self.retries < enough:
            assert time.monotonic() < deadline, f"nothing but {self.failed[-3:]}"
            time.sleep(0.005)

    def _send(self, number: int) -> None:
        choose = random.Random(number)
        address = self.addresses[number % len(self.addresses)]
        connection = HTTPConnection(address, timeout=ANSWER_SECONDS)
        opened, requests = time.monotonic(), 0
        while not self._ended.is_set():
            if connection.sock is None or requests == REQUESTS_OF_A_CONNECTION:
                connection.close()
                opened, requests = time.monotonic(), 0
            requests += 1
            failed = self._one(connection, self._next(choose), opened)
            if failed:
                self.failed.append(failed)
                time.sleep(PAUSE_AFTER_A_FAILURE)
        connection.close()

    def _next(self, choose: random.Random) -> Text:
        with self._lock:
            if choose.randrange(NEW_ONE_OF) == 0:
                number = self.sent[-1].number + 1
                self.sent.append(Text(choose.choice(TALKS), 0, number))
                return self.sent[-1]
            return choose.choice(self.sent[-NEWEST:])

    def _one(self, connection: HTTPConnection, text: Text, opened: float) -> Failed | None:
        sent = time.monotonic()
        request = append_request(text.memory_id, text.value)
        headers = {"Idempotency-Key": str(text.number)} if self.with_keys else {}
        try:
            connection.request(
                "POST", f"/v2/models/{MEMORY}/infer", json.dumps(request).encode(), headers
            )
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            return Failed(text, way(error), opened, time.monotonic())
        if response.status != 200:
            return Failed(text, status_of(response, body), sent, time.monotonic())
        with self._lock:
            self.answers[text][body] += 1
            self.acknowledged.append(Answer(body, time.monotonic()))
        return None


def faults(retries: Retries, histories: Histories) -> dict[str, Sequence[object]]:
    """What is wrong: stored twice, lost, answered in two ways, or with a window of another time."""
    times = Counter((talk, body) for talk, bodies in histories.items() for body in bodies)
    answers = retries.answers
    return {
        "doubled": [place for place, count in times.items() if count > 1],
        "lost": [text for text in answers if not times[text.memory_id, text.body]],
        "unknown": list(times.keys() - {(text.memory_id, text.body) for text in retries.sent}),
        "answered in two ways": [text for text, bodies in answers.items() if len(bodies) > 1],
        "wrong windows": [
            text
            for text, bodies in answers.items()
            if times[text.memory_id, text.body]
            if history_of(next(iter(bodies))) != window_of(histories[text.memory_id], text)
        ],
    }


def history_of(body: bytes) -> list[str]:
    (history,) = [out for out in json.loads(body)["outputs"] if out["name"] == "history"]
    data: list[str] = history["data"]
    return data


def window_of(history: Sequence[str], text: Text) -> list[str]:
    """The window that ends in the text."""
    end = history.index(text.body) + 1
    return list(history[max(0, end - WINDOW) : end])
