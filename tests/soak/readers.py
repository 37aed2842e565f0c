"""Clients that send each request until it is answered, and what they find of conversations.

What they find is as before a change, or as after it, and never half of it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from testing.bodies import read_request
from tests.soak.checker import WINDOW, Failed, Text
from tests.soak.load import (
    ANSWER_SECONDS,
    ASKED,
    MEMORY,
    PAUSE_AFTER_A_FAILURE,
    PROGRESS_SECONDS,
    REQUESTS_OF_A_CONNECTION,
    status_of,
    way,
)
from tests.soak.talks import State, Talk

API, INFER = "/v1/conversations", f"/v2/models/{MEMORY}/infer"
PAGE = 100
# Readers look at the newest so many conversations, most of which are being changed.
NEWEST = 40


class Request(NamedTuple):
    method: str
    path: str
    document: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


class Answer(NamedTuple):
    status: int
    body: bytes
    revision: str

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Common:
    """What all clients know, and what they note.

    `long` is a conversation that nobody changes. `done` counts changes by their names;
    `sent_again` is how many were answered that may have been done before.
    """

    address: str
    database: str
    long: Talk
    talks: list[Talk] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    failed: list[Failed] = field(default_factory=list)
    sent_again: int = 0
    looks: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


class Client:
    """One client, over one connection after the other."""

    def __init__(self, common: Common, number: int) -> None:
        self.common, self.number, self.choose = common, number, random.Random(number)
        self._connection = HTTPConnection(common.address, timeout=ANSWER_SECONDS)
        self._opened = 0.0
        self._requests = 0

    def close(self) -> None:
        self._connection.close()

    def try_once(self, request: Request) -> Answer | None:
        """The answer; None if there was none, or 503, which is noted."""
        if self._requests == REQUESTS_OF_A_CONNECTION:
            self._connection.close()
        if self._connection.sock is None:
            self._opened, self._requests = time.monotonic(), 0
        self._requests += 1
        sent, document = time.monotonic(), request.document
        body = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", **request.headers}
        try:
            self._connection.request(request.method, request.path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self.note_failure(way(error), self._opened)
            return None
        if response.status == 503:
            self.note_failure(status_of(response, answer), sent)
            return None
        return Answer(response.status, answer, response.headers["ETag"] or "")

    def note_failure(self, how: str, since: float) -> None:
        text = Text("", self.number, 0)
        self.common.failed.append(Failed(text, how, since, time.monotonic()))
        time.sleep(PAUSE_AFTER_A_FAILURE)

    def read(self, path: str, document: Any = None) -> Answer:
        """The answer to what may be asked again and again."""
        request = Request("GET" if document is None else "POST", path, document)
        deadline = time.monotonic() + PROGRESS_SECONDS
        while (answer := self.try_once(request)) is None:
            assert time.monotonic() < deadline, self.common.failed[-1]
        return answer

    # --- What readers find ---------------------------------------------------------------

    def look_at(self, talk: Talk, ways: int = 1) -> None:
        """Assert that a conversation is as it may be, asked in so many ways."""
        every = (self.see_items, self.see_metadata, self.see_window, self.see_list)
        for see in self.choose.sample(every, ways):
            since = talk.sure
            found, shown = see(talk)
            possible = [shown(state) for state in talk.possible(since)]
            assert found in possible, f"{see.__name__} of {talk.memory_id}: {found}, not {possible}"
            self.common.looks += 1

    def see_items(self, talk: Talk) -> tuple[Any, Callable[[State | None], Any]]:
        answer = self.read(f"{API}/{talk.memory_id}/items?order=desc&limit={PAGE}")
        found = None
        if answer.status == 200:
            items = reversed(answer.document["data"])
            found = tuple((item["position"], item["content"][0]["text"]) for item in items)
        return found, lambda state: state and state.items[-PAGE:]

    def see_metadata(self, talk: Talk) -> tuple[Any, Callable[[State | None], Any]]:
        answer = self.read(f"{API}/{talk.memory_id}")
        found = answer.document["metadata"] if answer.status == 200 else None
        return found, lambda state: state and state.metadata

    def see_window(self, talk: Talk) -> tuple[Any, Callable[[State | None], Any]]:
        answer = self.read(INFER, read_request(talk.memory_id, parameters=ASKED))
        assert answer.status == 200, answer
        return texts_of(answer), lambda state: window_of(state) if state else []

    def see_list(self, talk: Talk) -> tuple[Any, Callable[[State | None], Any]]:
        answer = self.read(f"{API}?prefix={talk.memory_id}&limit=1")
        assert answer.status == 200, answer
        found = [each["metadata"] for each in answer.document["data"]]
        return found, lambda state: [state.metadata] if state else []


class Reader(Client):
    """Looks at what others change."""

    def look(self) -> None:
        newest = [self.common.long, *self.common.talks[-NEWEST:]]
        self.look_at(self.choose.choice(newest))


def texts_of(answer: Answer) -> list[str]:
    """The texts of a reply's window."""
    (history,) = [out for out in answer.document["outputs"] if out["name"] == "history"]
    return [json.loads(each)["content"][0]["value"] for each in history["data"]]


def window_of(state: State) -> list[str]:
    return [text for _, text in state.items[-WINDOW:]]
