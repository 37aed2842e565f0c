"""Whole requests that wait for a thread: first come, first served, with shares and an end."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from memory_api.server.connection import Connection, State


class Threads(Protocol):
    """What the loop asks of those who serve whole requests."""

    def is_overloaded(self) -> bool:
        """Whether a request that came now would wait for too long."""

    def serve_later(self, connection: Connection) -> bool:
        """Take a connection whose request is whole; False if it would wait for too long."""

    def withdraw(self, connection: Connection) -> bool:
        """Take it back, unless a thread has it by now."""

    def go_on_later(self, connection: Connection) -> None:
        """Called in a thread: the loop is to go on with what the client sent already."""


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that may have only so many places in front: running, or next to run."""

    name: str
    places: int


@dataclass(slots=True)
class Job:
    connection: Connection
    group: Group | None = None
    since: float = field(default_factory=time.monotonic)


class RequestQueue:
    """A queue in front of some threads.

    A group's requests beyond its places are parked, and each moves to the queue when one
    before it is done. So a group never has more threads than it has places, and does not fill
    the queue either.

    `put` refuses a request when the first one in its way has waited for half of `patience`
    seconds: then more arrive than are served.
    """

    def __init__(self, threads: int, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._threads = self._idle = threads
        self._next: SimpleQueue[Job] = SimpleQueue()  # for idle threads
        self._waiting: deque[Job] = deque()
        self._places: dict[Group, int] = {}  # that are taken
        self._parked: dict[Group, deque[Job]] = {}

    def put(self, job: Job) -> bool:
        """Take a request in; False if it would wait too long."""
        with self._lock:
            group = job.group
            is_full = group is not None and self._places.get(group, 0) >= group.places
            line = self._parked.get(group, deque()) if is_full and group else self._waiting
            if self._is_slow(line, job.since):
                return False
            if group and is_full:
                self._parked.setdefault(group, deque()).append(job)
                return True
            if group:
                self._places[group] = self._places.get(group, 0) + 1
            self._admit(job)
            return True

    def load(self) -> tuple[int, int]:
        """How many threads are busy, and how many requests wait."""
        with self._lock:
            waiting = len(self._waiting) + sum(map(len, self._parked.values()))
            return self._threads - self._idle, waiting

    def is_overloaded(self) -> bool:
        """Whether `put` would refuse a request that is of no full group."""
        with self._lock:
            return self._is_slow(self._waiting, time.monotonic())

    def withdraw(self, connection: Connection) -> bool:
        """Take a connection's request out; False if a thread has it by now."""
        with self._lock:
            for line in (self._waiting, *self._parked.values()):
                for job in line:
                    if job.connection is connection:
                        line.remove(job)
                        if line is self._waiting:
                            self._leave(job)
                        return True
        return False

    def get(self) -> Job:
        """For a thread: its next request."""
        return self._next.get()

    def done(self, job: Job) -> Job | None:
        """For a thread that served `job`: its next request if one waits, else it is to `get`."""
        with self._lock:
            self._leave(job)
            if self._waiting:
                return _given_to_thread(self._waiting.popleft())
            self._idle += 1
            return None

    def take_expired(self, now: float) -> list[Job]:
        """Take out the requests that have waited for `patience` seconds."""
        with self._lock:
            found = []
            for group, line in list(self._parked.items()):
                found += self._expired_in(line, now)
                if not line:
                    del self._parked[group]
            waited = self._expired_in(self._waiting, now)
            for job in waited:
                self._leave(job)
            return found + waited

    def _admit(self, job: Job) -> None:
        if self._idle:
            self._idle -= 1
            self._next.put(_given_to_thread(job))
        else:
            self._waiting.append(job)

    def _leave(self, job: Job) -> None:
        """Give the job's place to the next of its group."""
        if not (group := job.group):
            return
        if line := self._parked.get(group):
            self._admit(line.popleft())
            if not line:
                del self._parked[group]
        else:
            self._places[group] -= 1
            if not self._places[group]:
                del self._places[group]

    def _is_slow(self, line: deque[Job], now: float) -> bool:
        return bool(line) and now - line[0].since > self._patience / 2

    def _expired_in(self, line: deque[Job], now: float) -> list[Job]:
        """Take them out; one that was parked may stand behind younger ones."""
        found = [job for job in line if now - job.since > self._patience]
        for job in found:
            line.remove(job)
        return found


def _given_to_thread(job: Job) -> Job:
    """Under the queue's lock, so that it is QUEUED for exactly as long as it can be withdrawn."""
    job.connection.state = State.IN_THREAD
    return job
