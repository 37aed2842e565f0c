"""Django inside a process that is MLServer's."""

from __future__ import annotations

import logging
import os
import secrets

import django
from django.conf import settings


def set_up_django() -> None:
    """Make the store usable in this process, and have its log where MLServer's is."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
    # Nothing is signed here, so no key has to be kept in a file.
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    settings.LOGGING_CONFIG = None
    django.setup()
    for name in ("convstore", "memory_api", "mlserver_bridge", "django"):
        logger = logging.getLogger(name)
        logger.setLevel(settings.LOG_LEVEL)
        logger.addHandler(_ToMLServer())
        logger.propagate = False


class _ToMLServer(logging.Handler):
    """Hands records on to MLServer's handlers, which know the format and the model's name."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("mlserver").handle(record)
