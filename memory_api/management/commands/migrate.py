"""Django's migrate, one at a time for each database, and without a time limit."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from convstore.database.migration_lock import migration_lock, without_time_limits


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if options["plan"] or options["check_unapplied"]:  # they change nothing
            super().handle(*args, **options)
            return
        with without_time_limits(alias), migration_lock(alias, lambda: self.say_waiting(options)):
            super().handle(*args, **options)

    def say_waiting(self, options: dict[str, Any]) -> None:
        if options["verbosity"]:
            self.stdout.write("Another process is migrating this database; waiting for it ...")
