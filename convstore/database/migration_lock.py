"""One migration at a time for each database, however many machines start one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connections

from convstore.database.vendors import vendor_for


@contextmanager
def migration_lock(alias: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the database `alias`; call `on_wait` once if another holds it."""
    with vendor_for(alias).migration_lock(connections[alias], on_wait):
        yield


@contextmanager
def without_time_limits(alias: str) -> Iterator[None]:
    """This thread's connection without the time limits that are meant for requests."""
    connection = connections[alias]
    limited = connection.settings_dict
    connection.close()
    connection.settings_dict = vendor_for(alias).without_time_limits(limited)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict = limited
