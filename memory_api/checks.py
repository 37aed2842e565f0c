"""What `convstore check` looks at in the memories: their settings, and their databases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core import checks as django_checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS

from convstore.database import checks
from memory_api.errors import SettingsError
from memory_api.memories import memories


@register()
def check_process(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    """What is unsafe in the settings of the service itself."""
    messages: list[CheckMessage] = []
    if settings.DEBUG:
        messages.append(
            django_checks.Warning(
                "DEBUG is on: an error page of the admin shows settings and messages to anybody.",
                hint="Leave DEBUG off, as it is by default.",
                id="memory_api.W001",
            )
        )
    if settings.SECRET_KEY.startswith("django-insecure-"):
        messages.append(
            django_checks.Warning(
                "The secret key was made for this process only: its end signs everybody out.",
                hint="Set SECRET_KEY, or let the service write into DATA_DIR.",
                id="memory_api.W002",
            )
        )
    return messages


@register()
def check_memories(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    try:
        aliases = _own_databases()
    except SettingsError as error:
        return [Error(str(error), id="memory_api.E001")]
    return [message for alias in aliases for message in checks.settings_messages(alias)]


@register(Tags.database)
def check_databases_of_memories(
    app_configs: object = None, databases: Iterable[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Whichever database was asked for: the memories' own have no name to ask for them by."""
    if not databases:
        return []
    try:
        aliases = _own_databases()
    except SettingsError:  # said above
        return []
    return [message for alias in aliases for message in checks.server_messages(alias)]


def _own_databases() -> list[str]:
    aliases = dict.fromkeys(memory.store.using for memory in memories())
    return [alias for alias in aliases if alias != DEFAULT_DB_ALIAS]
