"""All clients that change conversations and read them meanwhile, until they are told to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Self
from urllib.parse import urlsplit

from django.db import connections

from convstore.database.url import database_alias
from tests.soak.changer import Changer
from tests.soak.load import PROGRESS_SECONDS
from tests.soak.readers import Client, Common, Reader
from tests.soak.talks import Talk

CHANGERS, READERS = 8, 3


class Changers:
    """CHANGERS and READERS, from the begin of `with` to its end."""

    def __init__(self, service_url: str, database_url: str, long: Talk) -> None:
        self.common = Common(urlsplit(service_url).netloc, database_url, long)
        self._pool = ThreadPoolExecutor(CHANGERS + READERS)
        self._threads: list[Future[None]] = []

    def __enter__(self) -> Self:
        changers = [Changer(self.common, n) for n in range(CHANGERS)]
        readers = [Reader(self.common, -n) for n in range(1, READERS + 1)]
        self._threads = [
            *(self._pool.submit(self._repeat, each, each.change) for each in changers),
            *(self._pool.submit(self._repeat, each, each.look) for each in readers),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self.common.ended.set()
        self._pool.shutdown()
        self._raise_what_was_found()

    def more(self, changes: int) -> None:
        """Wait until so many more changes are done."""
        enough = self.common.done.total() + changes
        deadline = time.monotonic() + PROGRESS_SECONDS + changes
        while self.common.done.total() < enough:
            assert time.monotonic() < deadline, f"nothing but {self.common.failed[-3:]}"
            self._raise_what_was_found()
            time.sleep(0.01)

    def _raise_what_was_found(self) -> None:
        for thread in self._threads:
            if thread.done():
                thread.result()

    def _repeat(self, client: Client, act: Callable[[], None]) -> None:
        with closing(client), closing(connections[database_alias(self.common.database)]):
            while not self.common.ended.is_set():
                act()
