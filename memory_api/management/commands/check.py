"""Django's `check`. With `--deploy` it asks every database, too, and says all that it knows."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import check
from django.db import DEFAULT_DB_ALIAS


class Command(check.Command):
    def handle(self, *app_labels: Any, **options: Any) -> None:
        if options["deploy"]:
            from memory_api import deploy_checks  # noqa: F401 - importing it registers the checks

            # With the default database, all others are asked.
            options["databases"] = options["databases"] or [DEFAULT_DB_ALIAS]
        super().handle(*app_labels, **options)
