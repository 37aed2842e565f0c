"""Where the memories of MLServer's process work: a few threads for each database.

MLServer's event loop must never wait for a database, and nothing but this tends Django's
connections here, of which each thread has one of its own. Knows databases; knows neither
memories nor MLServer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.conf import settings
from django.db import connections

Answer = TypeVar("Answer")


class Threads:
    """At most THREADS threads, and as many connections, for the database `using`."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.users = 0
        self.opened: list[Any] = []
        self.executor = ThreadPoolExecutor(settings.THREADS, f"memory-{using}", self._begin)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """What `work` returns or raises, done in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, self._tended, work)

    def _begin(self) -> None:
        """Note a new thread's connection, so that it can be closed from another."""
        connection = connections[self.using]
        connection.inc_thread_sharing()
        self.opened.append(connection)

    def _tended(self, work: Callable[[], Answer]) -> Answer:
        """As Django does around each HTTP request: no connection that is too old or broken."""
        connection = connections[self.using]
        connection.close_if_unusable_or_obsolete()
        try:
            return work()
        finally:
            connection.close_if_unusable_or_obsolete()

    def end(self) -> None:
        """Wait for what is under way, then end the threads and close their connections."""
        self.executor.shutdown()
        for connection in self.opened:
            connection.close()
        for connection in self.opened[:1]:  # a pool belongs to all of them
            if connection.settings_dict["OPTIONS"].get("pool"):
                connection.close_pool()


# One for each database in use. A reload loads the new memory before it unloads the old
# one, so the threads live until the last memory that took them has given them back.
_taken: dict[str, Threads] = {}


def take(using: str) -> Threads:
    """The threads of the database `using`, to be given back. For the event loop only."""
    if using not in _taken:
        _taken[using] = Threads(using)
    _taken[using].users += 1
    return _taken[using]


async def give_back(threads: Threads) -> None:
    """The last one to do so ends them. For the event loop only."""
    threads.users -= 1
    if threads.users == 0:
        del _taken[threads.using]
        await asyncio.to_thread(threads.end)
