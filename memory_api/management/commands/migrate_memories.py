"""Make or migrate the tables of Django's own database and of every memory's."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from convstore.errors import Unavailable
from memory_api.errors import SettingsError, with_cause
from memory_api.memories import database_users, passed_over_memories
from memory_api.tables import UnsafeDatabase, migrate_tables

# The command's code where the service must not start until somebody has changed something.
MUST_NOT_SERVE = 2


class Command(BaseCommand):
    help = (
        "Make or migrate the tables of the database of DATABASE_URL, and those of each memory's own"
        " database. If one of them fails, the others are migrated all the same."
    )
    # A memory whose file is wrong is an error of `check`, and must not stop the others here.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            users = database_users()
        except SettingsError as error:
            raise CommandError(str(error), returncode=MUST_NOT_SERVE) from None
        for sentence in passed_over_memories():
            self.stderr.write(sentence)
        failures, unsafe = [], False
        for using, user in users.items():
            try:
                # A memory's own database has conversations, but no users and sessions.
                migrate_tables(using, every_app=using == DEFAULT_DB_ALIAS)
            except Unavailable as error:
                failures.append(f"{user}: {with_cause(error)}")
                unsafe |= isinstance(error, UnsafeDatabase)
        if failures:
            raise CommandError("\n".join(failures), returncode=MUST_NOT_SERVE if unsafe else 1)
