"""`convstore count_days`: count the conversations and messages of the days that are over."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from convstore.database.faults import describe_error
from inspection.databases import databases
from inspection.day_counts import count_missing


class Command(BaseCommand):
    help = (
        "For every database, count the conversations and messages of each of the last days that"
        " has no count yet, for the charts of the admin's first page. Run it once a day."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        failures = []
        for database in databases():
            try:
                days = count_missing(database)
            except Error as error:
                failures.append(f"{database.name}: {describe_error(database.alias, error)}")
            else:
                self.stdout.write(f"{database.name}: {days} days were counted now.")
        if failures:
            raise CommandError("\n".join(failures))
