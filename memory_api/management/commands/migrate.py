"""Django's migrate, one at a time for each database, and without a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from convstore.database.migration_lock import alone

LIMITS = ("read_timeout", "query_timeout")


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if options["plan"] or options["check_unapplied"]:  # they change nothing
            super().handle(*args, **options)
            return
        with without_time_limits(alias), alone(alias, lambda: self.say_waiting(options)):
            super().handle(*args, **options)

    def say_waiting(self, options: dict[str, Any]) -> None:
        if options["verbosity"]:
            self.stdout.write("Another process is migrating this database; waiting for it ...")


@contextmanager
def without_time_limits(alias: str) -> Iterator[None]:
    """This thread's connection without the time limits that are for requests."""
    connection = connections[alias]
    limited = connection.settings_dict
    options = {name: value for name, value in limited["OPTIONS"].items() if name not in LIMITS}
    connection.close()
    connection.settings_dict = {**limited, "OPTIONS": options, "CALL_TIMEOUT": 0}
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict = limited
