"""All memories of this process, and how one is found by its name and version."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from convstore.request_log import current_record
from memory_api.errors import MemoryUnavailable, UnknownMemory
from memory_api.memory import Memory, UnavailableMemory
from memory_api.model_repository import Repository, read_repository

logger = logging.getLogger(__name__)


@cache
def repository() -> Repository:
    """What MODELS_DIR holds, read once. Raises SettingsError."""
    return read_repository(settings.MODELS_DIR)


def memories() -> tuple[Memory, ...]:
    """The memories that can be asked. Raises SettingsError."""
    return repository().memories


def database_users() -> dict[str, str]:
    """Each database in use, by its alias, and who uses it, for people. Raises SettingsError."""
    users = {memory.store.using: f"memory {memory.name}" for memory in memories()}
    return {**users, DEFAULT_DB_ALIAS: "DATABASE_URL"}


def passed_over_memories() -> list[str]:
    """A sentence for each memory whose database a command cannot know. Raises SettingsError."""
    return [
        f"memory {entry.name} is passed over: {entry.reason}" for entry in repository().unavailable
    ]


def unknown_memories(names: Iterable[str]) -> list[str]:
    """A sentence for each name that no memory here has. Raises SettingsError."""
    known = {entry.name for entry in repository().entries}
    return [
        f"there is no memory {name!r} in {settings.MODELS_DIR}"
        for name in names
        if name not in known
    ]


def log_repository() -> None:
    """Log what is wrong with the files, and why there is no memory if there is none."""
    found = repository()
    for entry in found.unavailable:
        logger.error("memory %s is unavailable: %s", entry.name, entry.reason)
    for warning in found.warnings:
        logger.warning("%s", warning)
    for reason in found.passed_over:
        logger.log(logging.INFO if found.entries else logging.ERROR, "passed over: %s", reason)
    if not found.entries:
        logger.error(
            "there is no memory in %s, so the service is not ready: no folder in it has a"
            " model-settings.json of a memory",
            settings.MODELS_DIR,
        )


def find_memory(name: str, version: str | None = None) -> Memory:
    """The memory with this name; without a version the unversioned one, else the highest.

    Raises UnknownMemory with the sentence that MLServer has for it, and MemoryUnavailable.
    """
    found = [entry for entry in repository().entries if entry.name == name]
    if version is not None:
        found = [entry for entry in found if entry.version == version]
        if not found:
            raise UnknownMemory(f"Model {name[:100]} with version {version[:100]} not found")
    if not found:
        raise UnknownMemory(f"Model {name[:100]} not found")
    entry = max(found, key=_order)
    record = current_record()
    record.memory, record.version = entry.name, entry.version
    if isinstance(entry, UnavailableMemory):
        raise MemoryUnavailable(entry.reason)
    return entry


def conversations_memory(entries: Iterable[Memory | UnavailableMemory]) -> str | None:
    """The name of the memory that the Conversations API serves under /v1; None if nobody chose."""
    names = {entry.name for entry in entries}
    return settings.CONVERSATIONS_MEMORY or (names.pop() if len(names) == 1 else None)


def _order(entry: Memory | UnavailableMemory) -> tuple[int, int, str, bool]:
    """MLServer's order of versions: an unversioned model, then numbers, then other words."""
    usable = isinstance(entry, Memory)
    if entry.version is None:
        return (2, 0, "", usable)
    is_number = entry.version.isascii() and entry.version.isdigit()
    if is_number:
        return (1, int(entry.version), "", usable)
    return (0, 0, entry.version, usable)
