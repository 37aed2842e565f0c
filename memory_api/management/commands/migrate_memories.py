"""Make or migrate the tables of Django's own database and of every memory's."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error

from memory_api.errors import SettingsError
from memory_api.memories import memories


class Command(BaseCommand):
    help = (
        "Make or migrate the tables of Django's own database and of every memory's. One that"
        " cannot be reached does not keep the others from theirs."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            users = {memory.store.using: f"memory {memory.name}" for memory in memories()}
        except SettingsError as error:
            raise CommandError(str(error), returncode=2) from None
        users = {**users, DEFAULT_DB_ALIAS: "DATABASE_URL"}
        failures = [failure for item in users.items() if (failure := migrated(*item))]
        if failures:
            raise CommandError("\n".join(failures))


def migrated(alias: str, user: str) -> str:
    """Migrate one database; why that failed, or nothing."""
    # A memory's own database holds conversations, not Django's users and sessions.
    app = () if alias == DEFAULT_DB_ALIAS else ("convstore",)
    try:
        call_command("migrate", *app, database=alias, interactive=False, verbosity=0)
    except Error as error:
        reason = str(error).strip().splitlines()[0]
        return f"{user}: the tables of its database could not be made: {reason}"
    return ""
