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
        from convstore.database import checks  # noqa: F401 - they register themselves

        connection_created.connect(echo, dispatch_uid="convstore.echo")


def echo(connection: Any, **_: Any) -> None:
    """Log each statement of a connection whose entry of DATABASES asks for it by ECHO."""
    if connection.settings_dict.get("ECHO"):
        logging.getLogger("django.db.backends").setLevel(logging.DEBUG)
        connection.force_debug_cursor = True
