"""Django's `check`. With `--deploy` it asks every database, too, and says all that it knows."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import check
from django.db import DEFAULT_DB_ALIAS

from memory_api import deploy_checks  # noqa: F401 - importing it registers the checks


class Command(check.Command):
    def handle(self, *app_labels: Any, **options: Any) -> None:
        if options["deploy"] and not options["databases"]:
            options["databases"] = [DEFAULT_DB_ALIAS]  # with which all others are asked
        super().handle(*app_labels, **options)
