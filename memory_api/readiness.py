"""Whether memories can serve: whether their databases answer and have their tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from django.db import close_old_connections, connections

from convstore.database.connection import count_open_connections
from convstore.errors import Unavailable
from memory_api import http_metrics
from memory_api.errors import log_failure
from memory_api.memory import Memory

PROBE_SECONDS = 1
# What is older does not count: a database that gives no answer is not ready.
MAX_AGE_SECONDS = 2


def reason_not_ready(memory: Memory) -> str:
    """Ask the memory's database: "" if it can serve. The log has the driver's words, too."""
    try:
        memory.store.check()
    except Unavailable as error:
        log_failure(f"memory {memory.name} is not ready", error)
        return str(error)
    return ""


class DatabaseProbe:
    """Asks the database of a memory every second, in a thread of its own.

    The log says when the answer changes, not each time.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._is_ready: bool | None = None
        self._at = 0.0
        self._stopped = threading.Event()
        self.has_answered = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        return bool(self._is_ready) and time.monotonic() - self._at <= MAX_AGE_SECONDS

    def stop(self) -> None:
        """End the thread, which closes its connection, unless the database gives no answer."""
        self._stopped.set()
        self._thread.join(MAX_AGE_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            begun = time.monotonic()
            self._ask()
            self.has_answered.set()
            # A database that is slow to answer is asked again at once, or its answer would be old.
            self._stopped.wait(max(0, begun + PROBE_SECONDS - time.monotonic()))
        connections.close_all()

    def _ask(self) -> None:
        try:
            close_old_connections()
            self._memory.store.check()
        except Exception as error:  # the probe has to go on, whatever fails
            if self._is_ready is not False:
                log_failure(f"memory {self._memory.name} is not ready", error)
            self._is_ready = False
        else:
            self._is_ready = True
        self._at = time.monotonic()
        close_old_connections()  # for others, where they come from a pool
        count = count_open_connections()[self._memory.store.using]
        http_metrics.database_connections.labels(*self._memory.labels).set(count)


class ReadinessProbe:
    """Whether the service is ready: whether at least one memory is. It answers at once.

    One database that is down must not stop traffic to the memories of the others.
    """

    def __init__(self) -> None:
        self._probes: dict[str, DatabaseProbe] = {}
        self._lock = threading.Lock()

    def start(self, memories: Iterable[Memory]) -> list[DatabaseProbe]:
        """The probes of these memories' databases, one each; they are started where needed."""
        one_of_each = {memory.store.using: memory for memory in memories}
        with self._lock:
            for using, memory in one_of_each.items():
                if using not in self._probes:
                    self._probes[using] = DatabaseProbe(memory)
            return [self._probes[using] for using in one_of_each]

    def is_ready(self, memories: Iterable[Memory]) -> bool:
        probes = self.start(memories)
        until = time.monotonic() + MAX_AGE_SECONDS
        for probe in probes:  # only the first time is there anything to wait for
            if probe.has_answered.wait(until - time.monotonic()) and probe.is_ready:
                return True
        return any(probe.is_ready for probe in probes)

    def is_up(self, memory: Memory) -> bool:
        """Whether this memory can serve, as far as its database's probe knows."""
        (probe,) = self.start([memory])
        return probe.is_ready

    def stop(self) -> None:
        for probe in self._probes.values():
            probe.stop()
