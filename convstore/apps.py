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
        from convstore import checks  # noqa: F401 - they register themselves

        connection_created.connect(prepare, dispatch_uid="convstore.prepare")


def prepare(connection: Any, **_: Any) -> None:
    """What an entry of DATABASES asks of each of its connections and no backend does."""
    if connection.settings_dict.get("ECHO"):
        logging.getLogger("django.db.backends").setLevel(logging.DEBUG)
        connection.force_debug_cursor = True
    if connection.vendor == "oracle":
        connection.connection.call_timeout = connection.settings_dict.get("CALL_TIMEOUT", 0)
