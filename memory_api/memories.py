"""Memory: one configured service of history, read from one model-settings.json.

The file is the one that MLServer reads. Knows the store; knows no request.
"""

from __future__ import annotations

import json
import logging
import reprlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from sqlalchemy.engine import URL

from convstore.database.url import database_alias
from convstore.errors import DatabaseUrlError
from convstore.store import ConversationStore
from memory_api import metrics
from memory_api.errors import SettingsError, UnknownMemory

logger = logging.getLogger(__name__)

IMPLEMENTATION = "ConversationalMemory"
EXTRA_FIELDS = ("database", "config", "prompt_utils", "database_config", "memory_config")
TENSOR_NAMES = ("role", "content", "type")
WINDOW_SIZE = 10
MODEL_TYPE = "chat.completions"
MEMORY_FIELDS = ("window_size", "tensor_names", "model_type", "auto_migrate", "idempotency")
CONFIG_FIELDS = {
    "filesys": ("path", *MEMORY_FIELDS),
    "sql": ("url", "connection_options", *MEMORY_FIELDS),
}
KINDS: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What V2 calls a model: a name, perhaps a version, a window, and a store behind it.

    `by_request_id`: what one request says is stored once, however often it is delivered.
    """

    name: str
    version: str | None = None
    window_size: int = WINDOW_SIZE
    tensor_names: tuple[str, ...] = TENSOR_NAMES
    auto_migrate: bool = True
    by_request_id: bool = False
    store: ConversationStore

    @property
    def labels(self) -> tuple[str, str]:
        """What tells this memory's metrics from another's."""
        return (self.name, self.version or "")


# --- All memories of this process --------------------------------------------------------


@cache
def memories() -> tuple[Memory, ...]:
    """The memories of MODELS_DIR, read once. Raises SettingsError."""
    return load(settings.MODELS_DIR)


def load(folder: Path) -> tuple[Memory, ...]:
    """One memory for each `folder`/*/model-settings.json that asks for one, by name.

    A file with another implementation belongs to another runtime and is passed over.
    """
    if not folder.is_dir():
        raise SettingsError(f"MODELS_DIR: there is no folder {folder}")
    found: dict[tuple[str, str | None], Memory] = {}
    for path in sorted(folder.glob("*/model-settings.json")):
        document = _read(path)
        if not str(document.get("implementation", "")).endswith(IMPLEMENTATION):
            logger.info("%s is not a memory: its implementation is another", path)
            continue
        memory = from_settings(document, str(path), name=path.parent.name)
        key = (memory.name, memory.version)
        if key in found:
            raise SettingsError(f"{path}: another file has the same name, {memory.name!r}")
        found[key] = memory
    return tuple(found.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path} must hold a JSON object")
    return document


def named(name: str, version: str | None = None) -> Memory:
    """The memory of that name; without a version the unversioned one, else the highest.

    Raises UnknownMemory with the sentence that MLServer has for it.
    """
    found = [memory for memory in memories() if memory.name == name]
    if version is not None:
        if not (exact := [memory for memory in found if memory.version == version]):
            raise UnknownMemory(f"Model {name[:100]} with version {version[:100]} not found")
        return exact[0]
    if not found:
        raise UnknownMemory(f"Model {name[:100]} not found")
    return max(found, key=_rank)


def _rank(memory: Memory) -> tuple[int, int, str]:
    """MLServer's order: an unversioned model, then numbers, then other words."""
    if memory.version is None:
        return (2, 0, "")
    is_number = memory.version.isascii() and memory.version.isdigit()
    return (1, int(memory.version), "") if is_number else (0, 0, memory.version)


# --- One file ----------------------------------------------------------------------------


def from_settings(document: Mapping[str, Any], where: str, *, name: str = "") -> Memory:
    """The memory that a model-settings.json describes; `name` is used where it gives none.

    Raises SettingsError, whose text begins with `where` and the path of the field.
    """
    top = Section(document, where)
    parameters = top.section("parameters")
    extra = parameters.section("extra")
    for field in extra.values:
        if field not in EXTRA_FIELDS:
            logger.warning("%s: %s is unknown and ignored", where, extra.path(field))
    prompt_utils = extra.take("prompt_utils", None, object)
    if prompt_utils is not None:
        raise extra.wrong("prompt_utils", prompt_utils, "null: its fields were never published")
    database, config = _database_and_config(extra)
    name = top.take("name", None, str) or name
    version = parameters.take("version", None, str) or None
    memory = Memory(
        name=name,
        version=version,
        window_size=_window_size(config),
        tensor_names=_tensor_names(config),
        auto_migrate=config.take("auto_migrate", True, bool),
        by_request_id=_by_request_id(config),
        store=_store(database, config, metrics.observer(name, version or "")),
    )
    model_type = config.take("model_type", MODEL_TYPE, str)
    if model_type != MODEL_TYPE:
        raise config.wrong("model_type", model_type, repr(MODEL_TYPE))
    config.refuse_rest(CONFIG_FIELDS[database])
    return memory


def _database_and_config(extra: Section) -> tuple[str, Section]:
    """Which kind of store, and its configuration, in today's shape or the one before."""
    config = extra.section("config")
    if "database_config" in extra.values:
        older = extra.section("database_config")
        database = older.take("database", None, str)
        memory = extra.section("memory_config")
        config = Section({**older.values, **memory.values}, memory.where, memory.at)
    else:
        database = extra.take("database", None, str)
    if database not in CONFIG_FIELDS:
        raise extra.wrong("database", database, "'filesys' or 'sql'")
    return database, config


def _window_size(config: Section) -> int:
    size: int = config.take("window_size", WINDOW_SIZE, int)
    if size < 1:
        raise config.wrong("window_size", size, "an integer of at least 1")
    return size


def _tensor_names(config: Section) -> tuple[str, ...]:
    names = config.take("tensor_names", list(TENSOR_NAMES), list)
    if (
        not all(isinstance(name, str) and name for name in names)
        or "content" not in names
        or "memory_id" in names
        or len(set(names)) < len(names)
    ):
        allowed = "a list of names, each once, with 'content' and without 'memory_id'"
        raise config.wrong("tensor_names", names, allowed)
    return tuple(names)


def _by_request_id(config: Section) -> bool:
    idempotency = config.take("idempotency", None, str)
    if idempotency not in (None, "request_id"):
        raise config.wrong("idempotency", idempotency, "'request_id' or null")
    return idempotency is not None


def _store(
    database: str, config: Section, observe: Callable[[float, int], None]
) -> ConversationStore:
    url: str | URL
    if database == "filesys":
        folder = settings.DATA_DIR / config.take("path", "", str)
        url, options = URL.create("sqlite", database=str(folder / "conversations.sqlite3")), {}
    else:
        url = config.take("url", settings.DATABASE_URL, str)
        options = config.take("connection_options", {}, dict)
    try:
        return ConversationStore(database_alias(url, options), observe=observe)
    except DatabaseUrlError as error:
        raise SettingsError(f"{config.where}: {'.'.join(config.at)}: {error}") from None


class Section:
    """One object of the file: its fields are taken out by type, and what is left is unknown."""

    def __init__(self, values: Mapping[str, Any], where: str, at: tuple[str, ...] = ()) -> None:
        self.values = dict(values)
        self.where = where
        self.at = at

    def path(self, field: str) -> str:
        return ".".join((*self.at, field))

    def wrong(self, field: str, value: object, allowed: str) -> SettingsError:
        came = "missing" if value is None else reprlib.repr(value)
        return SettingsError(f"{self.where}: {self.path(field)} is {came}; it must be {allowed}")

    def take(self, field: str, default: Any, kind: type) -> Any:
        """The field's value, taken out; the default where it is absent or null.

        Seldon's agent writes every value that it merges as a string: where another type is
        wanted, a string is read as the JSON that it holds.
        """
        value = self.values.pop(field, None)
        if isinstance(value, str) and kind is not str:
            with suppress(ValueError):
                value = json.loads(value)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            # A database's address holds a password, and so may an object or a list, or what
            # should have been one.
            private = field == "url" or kind is dict or isinstance(value, dict | list)
            came = KINDS.get(type(value), "another type") if private else reprlib.repr(value)
            raise SettingsError(
                f"{self.where}: {self.path(field)} is {came}; it must be {KINDS[kind]}"
            )
        return value

    def section(self, field: str) -> Section:
        """The object in `field`, empty where it is absent or null."""
        return Section(self.take(field, {}, dict), self.where, (*self.at, field))

    def refuse_rest(self, fields: Collection[str]) -> None:
        for field in self.values:
            known = ", ".join(fields)
            raise SettingsError(
                f"{self.where}: {self.path(field)} is not a field; there are {known}"
            )
