"""Where the memories of MLServer's process work: a few threads for each database.

MLServer's event loop must never wait for a database, and nothing but this tends Django's
connections here, of which each thread has one of its own. Knows databases; knows neither
memories nor MLServer.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any, TypeVar

from django.conf import settings
from django.db import connections

Answer = TypeVar("Answer")


class Threads:
    """At most THREADS threads, and as many connections, for the database `using`.

    They end when nobody holds this any more: MLServer forgets a memory that was loaded twice
    at once without unloading it. Work that is under way holds it too, and so is finished.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        opened: list[Any] = []
        self.executor = ThreadPoolExecutor(
            settings.THREADS, f"memory-{using}", _begin, (using, opened)
        )
        # In a thread of its own: closing may take its time, and is not for the event loop.
        end = Thread(target=_end, args=(self.executor, opened), name=f"memory-{using}-end")
        weakref.finalize(self, end.start).atexit = False

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """What `work` returns or raises, done in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, self._tended, work)

    def _tended(self, work: Callable[[], Answer]) -> Answer:
        """As Django does around each HTTP request: no connection that is too old or broken."""
        connection = connections[self.using]
        connection.close_if_unusable_or_obsolete()
        try:
            return work()
        finally:
            connection.close_if_unusable_or_obsolete()


def _begin(using: str, opened: list[Any]) -> None:
    """Note a new thread's connection, so that it can be closed from another."""
    connection = connections[using]
    connection.inc_thread_sharing()
    opened.append(connection)


def _end(executor: ThreadPoolExecutor, opened: list[Any]) -> None:
    """End the threads, of which none works, and close their connections."""
    executor.shutdown(wait=False)
    for connection in opened:
        connection.close()
    for connection in opened[:1]:  # a pool belongs to all of them
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close_pool()


# Those of each database that is in use. A reload loads the new memory before it unloads the
# old one, and both have the same.
_in_use: weakref.WeakValueDictionary[str, Threads] = weakref.WeakValueDictionary()


def threads_of(using: str) -> Threads:
    """The threads of the database `using`, while they are held. For the event loop only."""
    threads = _in_use.get(using)
    if threads is None:
        threads = _in_use[using] = Threads(using)
    return threads
