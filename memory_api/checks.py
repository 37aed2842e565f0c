"""System checks of the memories: their settings, and the databases of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core import checks as django_checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks.registry import registry
from django.db import DEFAULT_DB_ALIAS

from convstore.database import checks
from convstore.database.vendors import describe_database
from convstore.standby import reason_passed_over
from memory_api.errors import SettingsError
from memory_api.memories import memories, repository


def leave_urls_to_deployment() -> None:
    """Let Django check URLs with `--deploy` only: that imports all views.

    It would take as long as everything else that a command does, and our URLs depend on no setting.
    """
    for check in [each for each in registry.registered_checks if Tags.urls in each.tags]:
        registry.registered_checks.remove(check)
        registry.register(check, *check.tags, deploy=True)


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
    if settings.CONVERSATIONS_API == "open":
        messages.append(
            django_checks.Warning(
                "CONVERSATIONS_API is open: until there is an API key, anybody may delete.",
                hint="Make an API key, or let only a proxy reach the port.",
                id="memory_api.W006",
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
    """Files that make no memory, fields without an effect, and settings that are unsafe."""
    try:
        found = repository()
    except SettingsError as error:
        return [Error(str(error), id="memory_api.E001")]
    messages: list[CheckMessage] = [
        Error(f"memory {entry.name}: {entry.reason}", id="memory_api.E001")
        for entry in found.unavailable
    ]
    messages += [django_checks.Warning(warning, id="memory_api.W003") for warning in found.warnings]
    if not found.entries:
        messages.append(
            django_checks.Warning(
                f"There is no memory in {settings.MODELS_DIR}, so the service is never ready.",
                hint="\n".join(found.passed_over) or None,
                id="memory_api.W004",
            )
        )
    for alias in _own_databases():
        messages += checks.settings_messages(alias)
    return messages


@register(Tags.database)
def check_databases_of_memories(
    app_configs: object = None, databases: Iterable[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Check them with any `--database`, since nobody knows the aliases of the memories' own."""
    if not databases:
        return []
    try:
        aliases = _own_databases()
    except SettingsError:  # check_memories reports it
        return []
    messages = [message for alias in aliases for message in checks.server_messages(alias)]
    return messages + list(_standby_messages())


def _standby_messages() -> Iterator[CheckMessage]:
    stores = {memory.store.standby: memory.store for memory in memories() if memory.store.standby}
    for standby, store in stores.items():
        if reason := reason_passed_over(standby, store.using):
            yield django_checks.Warning(
                f"The standby {describe_database(standby)} answers nobody: {reason}",
                hint="Correct config.read_url, or wait until the standby is there. Meanwhile the"
                " primary answers.",
                id="memory_api.W005",
            )


def _own_databases() -> list[str]:
    """The aliases of the databases that memories use beside Django's default."""
    aliases = dict.fromkeys(memory.store.using for memory in memories())
    return [alias for alias in aliases if alias != DEFAULT_DB_ALIAS]
