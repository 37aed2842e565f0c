"""The store as a Django app."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class ConvstoreConfig(AppConfig):
    name = "convstore"
    verbose_name = "Conversation store"

    def ready(self) -> None:
        from convstore.database import checks  # noqa: F401 - importing them registers them

        connection_created.connect(log_statements, dispatch_uid="convstore.log_statements")


def log_statements(connection: Any, **_: Any) -> None:
    """Log the statements of a new connection if its entry of DATABASES has ECHO."""
    if connection.settings_dict.get("ECHO"):
        logging.getLogger("django.db.backends").setLevel(logging.DEBUG)
        connection.force_debug_cursor = True
