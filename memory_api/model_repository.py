"""A folder with model-settings.json files to its memories. A bad file is one memory's fault."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory_api.did_you_mean import meant_name
from memory_api.errors import SettingsError, quote
from memory_api.memory import Memory, UnavailableMemory
from memory_api.model_settings import TOP_FIELDS, memory_from_settings, read_model_settings
from memory_api.settings_section import Section

IMPLEMENTATION = "ConversationalMemory"
OURS = f"mlserver_memory.{IMPLEMENTATION}"


@dataclass(frozen=True, slots=True)
class Repository:
    """What the files of a folder describe.

    `passed_over` has a sentence for each file of another runtime, and `warnings` one for each
    field that has no effect.
    """

    entries: tuple[Memory | UnavailableMemory, ...]
    passed_over: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def memories(self) -> tuple[Memory, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Memory))

    @property
    def unavailable(self) -> tuple[UnavailableMemory, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, UnavailableMemory))


class OtherRuntime(Exception):
    """The file has another implementation: it belongs to another runtime. The text says which."""


def read_repository(folder: Path) -> Repository:
    """The memories of all files in `folder`. Raises SettingsError if it is not there."""
    if not folder.is_dir():
        raise SettingsError(f"MODELS_DIR: there is no folder {folder}; make it, or name another")
    entries: list[Memory | UnavailableMemory] = []
    file_of: dict[tuple[str, str | None], tuple[int, str]] = {}
    passed_over: list[str] = []
    warnings: list[str] = []
    for path, where in _settings_files(Path(os.path.abspath(folder))):
        try:
            entry = _read_entry(path, where, warnings.append)
        except OtherRuntime as reason:
            passed_over.append(str(reason))
            continue
        key = (entry.name, entry.version)
        # A file that is wrong does not take a memory along that another one describes.
        if isinstance(entry, Memory) and key in file_of:
            n, other = file_of[key]
            entries[n] = _same_name(entry, where, other)
            continue
        if isinstance(entry, Memory):
            file_of[key] = (len(entries), where)
        entries.append(entry)
    return Repository(tuple(entries), tuple(passed_over), tuple(warnings))


def _same_name(memory: Memory, where: str, other: str) -> UnavailableMemory:
    """Nobody knows which of two files is meant, and they may name different databases."""
    reason = (
        f"{where} and {other} have the same name, {memory.name!r}, and the same version; change"
        " one of them"
    )
    return UnavailableMemory(name=memory.name, version=memory.version, reason=reason)


def _settings_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files where MLServer finds models, each once, and what a sentence calls them.

    The rule is that of SchemalessModelRepository.list in MLServer's repository/repository.py:
    the folder itself and all folders below it, but for those whose names begin with a dot. Python
    follows symbolic links to folders there, as Kubernetes makes them.
    """
    seen = set()
    for found in sorted(glob.glob("**/model-settings.json", root_dir=folder, recursive=True)):
        path = folder / found
        if (real := os.path.realpath(path)) not in seen:
            seen.add(real)
            where = os.path.join(folder.name, found)
            yield path, where.encode(errors="backslashreplace").decode()


def _read_entry(
    path: Path, where: str, warn: Callable[[str], object]
) -> Memory | UnavailableMemory:
    """The memory of one file. Raises OtherRuntime."""
    folder = path.parent.name.encode(errors="backslashreplace").decode()
    document: dict[str, Any] = {}
    try:
        document = read_model_settings(path, where)
        _check_implementation(document, where)
        return memory_from_settings(document, where, name=folder, warn=warn)
    except SettingsError as error:
        name, version = _name_and_version(document)
        return UnavailableMemory(name=name or folder, version=version, reason=str(error))


def _check_implementation(document: dict[str, Any], where: str) -> None:
    """Raise OtherRuntime if it is another runtime's, and SettingsError if nobody can tell."""
    top = Section(document, where)
    implementation = top.take("implementation", "", str)
    if not implementation:
        top.refuse_unknown(TOP_FIELDS)  # which names a field that was misspelt
        raise top.error("implementation", None, repr(OURS))
    name = implementation.rpartition(".")[2]
    if meant_name(implementation, [OURS]) or meant_name(name, [IMPLEMENTATION]):
        raise top.error("implementation", implementation, f"{OURS!r}, if this is a memory")
    if not implementation.endswith(IMPLEMENTATION):
        raise OtherRuntime(
            f"{where}: its implementation, {quote(implementation)}, is another runtime's"
        )


def _name_and_version(document: dict[str, Any]) -> tuple[str | None, str | None]:
    """Those that a wrong file asks for, as far as they can be shown."""
    parameters = document.get("parameters")
    version = parameters.get("version") if isinstance(parameters, dict) else None
    return _printable_word(document.get("name")), _printable_word(version)


def _printable_word(word: object) -> str | None:
    return word if isinstance(word, str) and word and word.isprintable() else None
