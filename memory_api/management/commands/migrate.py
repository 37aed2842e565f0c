"""Django's migrate, one at a time for each database, and without a time limit."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate

from convstore.database.migration_lock import migration_lock, without_time_limits
from convstore.database.partitions import FEWEST, MOST, CannotPartition, make_partitions

# What makes no tables, by Django's name for it.
MAKES_NO_TABLES = {
    "plan": "--plan",
    "check_unapplied": "--check",
    "fake": "--fake",
    "prune": "--prune",
}


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--partitions",
            type=int,
            metavar="N",
            help=f"On PostgreSQL, make the table of messages of a new database with N partitions,"
            f" {FEWEST} to {MOST}. A table that has so many is left as it is.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if options["partitions"] is not None:
            self.refuse_without_tables(options)
        if options["plan"] or options["check_unapplied"]:  # they change nothing
            super().handle(*args, **options)
            return
        with without_time_limits(alias), migration_lock(alias, lambda: self.say_waiting(options)):
            if options["partitions"] is not None:
                self.partition(alias, options)
            super().handle(*args, **options)

    def refuse_without_tables(self, options: dict[str, Any]) -> None:
        """Raise CommandError if the partitions would have no table to be of."""
        beside = [flag for name, flag in MAKES_NO_TABLES.items() if options[name]]
        if options["app_label"] not in (None, "convstore"):
            beside.append(f"the app {options['app_label']}")
        if options["migration_name"] == "zero":
            beside.append("zero")
        if beside:
            raise CommandError(
                f"--partitions makes the table of messages, and {' and '.join(beside)} does not."
                " Use one without the other."
            )

    def partition(self, alias: str, options: dict[str, Any]) -> None:
        number = options["partitions"]
        try:
            made = make_partitions(alias, number)
        except CannotPartition as error:
            raise CommandError(f"Database {alias!r}: {error}.") from None
        if made and options["verbosity"]:
            self.stdout.write(f"Made the table of messages with {number} partitions.")

    def say_waiting(self, options: dict[str, Any]) -> None:
        if options["verbosity"]:
            self.stdout.write("Another process is migrating this database; waiting for it ...")
