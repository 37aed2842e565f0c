"""What `manage.py check` looks at in the memories: their settings, and their databases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS

from convstore.database import checks
from memory_api.errors import SettingsError
from memory_api.memories import memories


@register()
def check_memories(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    try:
        aliases = _own_databases()
    except SettingsError as error:
        return [Error(str(error), id="memory_api.E001")]
    return [message for alias in aliases for message in checks.of_settings(alias)]


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
    return [message for alias in aliases for message in checks.of_database(alias)]


def _own_databases() -> list[str]:
    aliases = dict.fromkeys(memory.store.using for memory in memories())
    return [alias for alias in aliases if alias != DEFAULT_DB_ALIAS]
