"""`convstore prune_audit_log`: delete the entries of the audit log that are older than wanted."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from convstore.conf import audit_log_days
from inspection.audit import prune


class Command(BaseCommand):
    help = (
        "Delete entries of the audit log that are older than AUDIT_LOG_DAYS, in short"
        " transactions. It can be interrupted and run again. An entry says what was deleted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            default=audit_log_days(),
            help="Keep the entries of so many days. The default is AUDIT_LOG_DAYS, %(default)s.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days: int = options["days"]
        if not 1 <= days <= 100_000:
            raise CommandError(f"--days is {days}; it must be an integer from 1 to 100000.")
        self.stdout.write(f"{prune(days):,} entries older than {days} days were deleted.")
