"""Sets Django up inside MLServer's process."""

from __future__ import annotations

import logging
import os
import secrets

import django
from django.conf import settings


def set_up_django() -> None:
    """Make the store usable in this process, and send its log to MLServer's."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
    # Nothing is signed in this process, so the key need not be kept in a file.
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    settings.LOGGING_CONFIG = None
    django.setup()
    for name in ("convstore", "memory_api", "mlserver_bridge", "django"):
        logger = logging.getLogger(name)
        logger.setLevel(settings.LOG_LEVEL)
        logger.addHandler(_MLServerHandler())
        logger.propagate = False


class _MLServerHandler(logging.Handler):
    """Passes records to MLServer's handlers, which add the model's name and have its format."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("mlserver").handle(record)
