"""The store in a program that is no Django project, such as one with FastAPI."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections

from convstore.conf import DEFAULT_CONNECTION_MAX_AGE, DEFAULT_DATABASE_TIMEOUT
from convstore.database.migration_lock import migration_lock, without_time_limits
from convstore.database.url import prepared_database_settings

if TYPE_CHECKING:
    from convstore.store import ConversationStore


def open_store(url: str) -> ConversationStore:
    """The store in the database of this URL, whose tables are made or migrated.

    It makes Django's settings, so a program calls it once. Raises DatabaseUrlError.
    """
    timeout, max_age = DEFAULT_DATABASE_TIMEOUT, DEFAULT_CONNECTION_MAX_AGE
    entry = prepared_database_settings(url, timeout=timeout, max_age=max_age)
    settings.configure(INSTALLED_APPS=["convstore"], DATABASES={DEFAULT_DB_ALIAS: entry})
    django.setup()
    # A server may import the program in its event loop, and there Django waits for no database.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_migrate).result()

    from convstore.store import ConversationStore  # its models need Django's settings

    return ConversationStore()


def _migrate() -> None:
    alias = DEFAULT_DB_ALIAS
    try:
        with without_time_limits(alias), migration_lock(alias, lambda: None):
            call_command("migrate", verbosity=0)
    finally:
        connections[alias].close()
