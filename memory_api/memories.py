"""All memories of this process, and how one is found by its name and version."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from django.conf import settings

from memory_api.errors import SettingsError, UnknownMemory
from memory_api.memory import Memory
from memory_api.model_settings import memory_from_settings, read_model_settings

logger = logging.getLogger(__name__)

IMPLEMENTATION = "ConversationalMemory"


@cache
def memories() -> tuple[Memory, ...]:
    """The memories of MODELS_DIR, read once. Raises SettingsError."""
    return load_memories(settings.MODELS_DIR)


def load_memories(folder: Path) -> tuple[Memory, ...]:
    """The memories that `folder`/*/model-settings.json describe.

    A file with another implementation belongs to another runtime and is skipped.
    """
    if not folder.is_dir():
        raise SettingsError(f"MODELS_DIR: there is no folder {folder}; make it, or name another")
    found: dict[tuple[str, str | None], Memory] = {}
    for path in sorted(folder.glob("*/model-settings.json")):
        document = read_model_settings(path)
        if not str(document.get("implementation", "")).endswith(IMPLEMENTATION):
            logger.info("%s is skipped: its implementation is not %s", path, IMPLEMENTATION)
            continue
        memory = memory_from_settings(document, str(path), name=path.parent.name)
        key = (memory.name, memory.version)
        if key in found:
            raise SettingsError(
                f"{path}: another file has the same name, {memory.name!r}, and the same version;"
                " change one of them"
            )
        found[key] = memory
    return tuple(found.values())


def find_memory(name: str, version: str | None = None) -> Memory:
    """The memory with this name; without a version the unversioned one, else the highest.

    Raises UnknownMemory with the sentence that MLServer has for it.
    """
    found = [memory for memory in memories() if memory.name == name]
    if version is not None:
        if not (exact := [memory for memory in found if memory.version == version]):
            raise UnknownMemory(f"Model {name[:100]} with version {version[:100]} not found")
        return exact[0]
    if not found:
        raise UnknownMemory(f"Model {name[:100]} not found")
    return max(found, key=_version_order)


def _version_order(memory: Memory) -> tuple[int, int, str]:
    """MLServer's order: an unversioned model, then numbers, then other words."""
    if memory.version is None:
        return (2, 0, "")
    is_number = memory.version.isascii() and memory.version.isdigit()
    return (1, int(memory.version), "") if is_number else (0, 0, memory.version)
