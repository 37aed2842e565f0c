"""Sets Django up inside MLServer's process."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from mlserver.settings import Settings

from convstore.log_format import JsonFormatter

# What a reply over gRPC has beside its messages: names and ids, and some bytes for each message.
BYTES_BESIDE, BYTES_EACH = 64 * 1024, 6


def set_up_django() -> None:
    """Make the store usable in this process, and send its log to MLServer's."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
    # Nothing is signed in this process, so the key need not be kept in a file.
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    settings.LOGGING_CONFIG = None
    django.setup()
    handler = _JsonHandler() if settings.REQUEST_LOG == "json" else _MLServerHandler()
    for name in ("convstore", "memory_api", "mlserver_bridge", "django"):
        logger = logging.getLogger(name)
        logger.setLevel(settings.LOG_LEVEL)
        logger.addHandler(handler)
        logger.propagate = False
    if settings.REQUEST_LOG == "off":
        logging.getLogger("convstore.request_log").setLevel(logging.CRITICAL)
    _limit_replies()
    from memory_api.start_log import trace_if_wanted

    trace_if_wanted()


def _limit_replies() -> None:
    """Hold MAX_REPLY_BYTES within what gRPC may send: else a reply would fail after the COMMIT."""
    most = _grpc_max_message_length()
    if most is None:
        return
    most = max(most - BYTES_BESIDE - BYTES_EACH * settings.MAX_WINDOW, 1)
    if most < settings.MAX_REPLY_BYTES:
        logging.getLogger(__name__).warning(
            "MAX_REPLY_BYTES is %s; %s is used instead, because MLServer's grpc_max_message_length"
            " allows no larger reply",
            settings.MAX_REPLY_BYTES,
            most,
        )
        settings.MAX_REPLY_BYTES = most


def _grpc_max_message_length() -> int | None:
    """MLServer's own setting. It reads settings.json in the folder that it was started with."""
    files = [Path(argument, "settings.json") for argument in sys.argv[1:]]
    found = [path for path in files if path.is_file()]
    mlserver = Settings.parse_file(found[0]) if found else Settings()
    most: int | None = mlserver.grpc_max_message_length
    return most


class _MLServerHandler(logging.Handler):
    """Passes records to MLServer's handlers, which add the model's name and have its format."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("mlserver").handle(record)


class _JsonHandler(logging.StreamHandler[Any]):
    def __init__(self) -> None:
        super().__init__(sys.stdout)  # where MLServer writes
        self.setFormatter(JsonFormatter())
