"""The threads in which memories work inside MLServer's process: a few for each database.

MLServer's event loop must never wait for a database. Each thread has a Django connection of
its own, and this module opens and closes them. Knows databases; knows neither memories nor
MLServer.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

Result = TypeVar("Result")


class DatabaseThreads:
    """At most THREADS threads for the database `using`, and as many connections to each server.

    They end when nothing refers to this object any more, and not by a call: MLServer forgets a
    memory that was loaded twice at once without unloading it. Work in progress refers to it.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self.opened: list[Any] = []
        self.executor = ThreadPoolExecutor(settings.THREADS, f"memory-{using}")
        # In a thread of its own: closing may take time, which the event loop does not have.
        what = (self.executor, self.opened)
        end = Thread(target=_shut_down, args=what, name=f"memory-{using}-end")
        weakref.finalize(self, end.start).atexit = False

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` in one of the threads, and return or raise what it does."""
        loop = asyncio.get_running_loop()
        # What is logged there is about the same request.
        run = partial(copy_context().run, self._run_with_usable_connections, work)
        return await loop.run_in_executor(self.executor, run)

    def _run_with_usable_connections(self, work: Callable[[], Result]) -> Result:
        """Close old and broken connections before and after, as Django does around a request."""
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()
            self._note_connections()

    def _note_connections(self) -> None:
        """Note what this thread has opened, so that another thread can close it."""
        connection: Any
        for connection in connections.all(initialized_only=True):
            if not hasattr(connection, "convstore_is_noted"):
                connection.convstore_is_noted = True
                connection.inc_thread_sharing()
                self.opened.append(connection)


def _shut_down(executor: ThreadPoolExecutor, opened: list[Any]) -> None:
    """End the threads, which are all idle, and close their connections."""
    executor.shutdown(wait=False)
    for connection in opened:
        connection.close()
    # All connections to one database share a pool.
    for connection in {connection.alias: connection for connection in opened}.values():
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close_pool()


# A reload loads the new memory before it unloads the old one; both use the same threads.
_threads: weakref.WeakValueDictionary[str, DatabaseThreads] = weakref.WeakValueDictionary()


def threads_for(using: str) -> DatabaseThreads:
    """The threads that all memories of the database `using` share. Only for the event loop."""
    threads = _threads.get(using)
    if threads is None:
        threads = _threads[using] = DatabaseThreads(using)
    return threads
