"""All connections of a worker: which of them are polled, how many there are, and what they hold."""

from __future__ import annotations

import resource
import select
import threading
from collections.abc import Iterator

from memory_api.server.connection import Connection, State

# So many of the longest idle ones are closed at once when there is no room for another.
EVICTED_AT_ONCE = 100
# An idle connection may be evicted after so many seconds, when no thread is about to poll it.
SETTLED_SECONDS = 1
# What may go while too many bytes are buffered. A thread has the others.
MOVABLE = State.RECEIVING, State.QUEUED, State.SENDING
SPARE_FILES = 256  # open files of everything but connections


def raise_file_limit(connections: int) -> int:
    """Let this process open files for so many connections; for how many it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(connections, soft - SPARE_FILES)


class Connections:
    """Polled once at a time: after an event, a connection is not polled until it is armed again.

    So a thread can arm the connection that it served, without waking the loop.
    """

    def __init__(self, limit: int, max_held: int) -> None:
        self._limit = limit
        self._max_held = max_held
        self._all: dict[int, Connection] = {}
        self._held = 0
        self._lock = threading.Lock()
        self.epoll = select.epoll()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))  # threads may remove some meanwhile

    def get(self, number: int) -> Connection | None:
        return self._all.get(number)

    def add(self, connection: Connection) -> None:
        self._all[connection.number] = connection
        self.epoll.register(connection.number, select.EPOLLIN | select.EPOLLONESHOT)

    def await_input(self, connection: Connection) -> None:
        self._arm(connection, select.EPOLLIN)

    def await_output(self, connection: Connection) -> None:
        self._arm(connection, select.EPOLLOUT)

    def close(self, connection: Connection) -> None:
        connection.drop_request()
        self._count(connection, 0)
        with self._lock:
            if self._is_open(connection):
                del self._all[connection.number]
                connection.sock.close()

    def count(self, connection: Connection) -> None:
        """Count the bytes that are buffered for a connection by now."""
        self._count(connection, connection.size)

    def _count(self, connection: Connection, size: int) -> None:
        if size != connection.held:
            with self._lock:
                if self._is_open(connection):
                    self._held += size - connection.held
                    connection.held = size

    def _arm(self, connection: Connection, event: int) -> None:
        with self._lock:
            if self._is_open(connection):
                self.epoll.modify(connection.number, event | select.EPOLLONESHOT)

    def _is_open(self, connection: Connection) -> bool:
        """Whether it is not closed; the number of one that is may be another's by now."""
        return self._all.get(connection.number) is connection

    def largest_above_limit(self) -> Connection | None:
        """While too many bytes are buffered: the connection with most of those that may go."""
        if self._held <= self._max_held:
            return None
        movable = [each for each in self if each.state in MOVABLE]
        return max(movable, key=lambda each: each.held, default=None)

    def make_room(self, now: float) -> bool:
        """Whether there is room for one more, after idle ones were closed if there was none."""
        return len(self._all) < self._limit or self.evict_idle(now)

    def evict_idle(self, now: float) -> bool:
        """Close those that have been idle for longest; whether there were any."""
        idle = [
            each for each in self if each.state is State.IDLE and now - each.since > SETTLED_SECONDS
        ]
        idle.sort(key=lambda each: each.since)
        for connection in idle[:EVICTED_AT_ONCE]:
            self.close(connection)
        return bool(idle)
