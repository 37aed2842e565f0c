"""model-settings.json, the file that MLServer reads, to a Memory."""

from __future__ import annotations

import json
import logging
import reprlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from sqlalchemy.engine import URL

from convstore.database.url import database_alias
from convstore.errors import DatabaseUrlError
from convstore.store import ConversationStore
from memory_api.errors import SettingsError
from memory_api.json_text import json_type
from memory_api.memory import DEFAULT_TENSOR_NAMES, DEFAULT_WINDOW_SIZE, Memory
from memory_api.metrics import metrics_of

logger = logging.getLogger(__name__)

MODEL_TYPE = "chat.completions"
EXTRA_FIELDS = ("database", "config", "prompt_utils", "database_config", "memory_config")
MEMORY_FIELDS = ("window_size", "tensor_names", "model_type", "auto_migrate", "idempotency")
CONFIG_FIELDS = {
    "filesys": ("path", *MEMORY_FIELDS),
    "sql": ("url", "connection_options", *MEMORY_FIELDS),
}
TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def read_model_settings(path: Path) -> dict[str, Any]:
    """The JSON object in the file. Raises SettingsError."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path} is {json_type(document)}; it must be a JSON object")
    return document


def memory_from_settings(document: Mapping[str, Any], where: str, *, name: str = "") -> Memory:
    """The memory that a model-settings.json describes; `name` is its name if the file has none.

    Raises SettingsError, whose text begins with `where` and the path of the field.
    """
    top = Section(document, where)
    parameters = top.take_section("parameters")
    extra = parameters.take_section("extra")
    for field in extra.values:
        if field not in EXTRA_FIELDS:
            logger.warning("%s: %s is unknown and ignored", where, extra.path_of(field))
    prompt_utils = extra.take("prompt_utils", None, object)
    if prompt_utils is not None:
        raise extra.error("prompt_utils", prompt_utils, "null: its fields were never published")
    database, config = _database_and_config(extra)
    name = top.take("name", None, str) or name
    version = parameters.take("version", None, str) or None
    memory = Memory(
        name=name,
        version=version,
        window_size=_window_size(config),
        tensor_names=_tensor_names(config),
        auto_migrate=config.take("auto_migrate", True, bool),
        once_per_request_id=_once_per_request_id(config),
        store=_store(database, config, metrics_of(name, version or "").observe_database),
    )
    model_type = config.take("model_type", MODEL_TYPE, str)
    if model_type != MODEL_TYPE:
        raise config.error("model_type", model_type, repr(MODEL_TYPE))
    config.refuse_rest(CONFIG_FIELDS[database])
    return memory


def _database_and_config(extra: Section) -> tuple[str, Section]:
    """'filesys' or 'sql', and its fields, from the file's current form or the older one."""
    config = extra.take_section("config")
    if "database_config" in extra.values:
        older = extra.take_section("database_config")
        database = older.take("database", None, str)
        memory = extra.take_section("memory_config")
        config = Section({**older.values, **memory.values}, memory.where, memory.path)
    else:
        database = extra.take("database", None, str)
    if database not in CONFIG_FIELDS:
        raise extra.error("database", database, "'filesys' or 'sql'")
    return database, config


def _window_size(config: Section) -> int:
    size: int = config.take("window_size", DEFAULT_WINDOW_SIZE, int)
    if size < 1:
        raise config.error("window_size", size, "an integer of at least 1")
    return size


def _tensor_names(config: Section) -> tuple[str, ...]:
    names = config.take("tensor_names", list(DEFAULT_TENSOR_NAMES), list)
    if (
        not all(isinstance(name, str) and name for name in names)
        or "content" not in names
        or "memory_id" in names
        or len(set(names)) < len(names)
    ):
        wanted = "a list of names, each once, with 'content' and without 'memory_id'"
        raise config.error("tensor_names", names, wanted)
    return tuple(names)


def _once_per_request_id(config: Section) -> bool:
    idempotency = config.take("idempotency", None, str)
    if idempotency not in (None, "request_id"):
        raise config.error("idempotency", idempotency, "'request_id' or null")
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
        raise SettingsError(f"{config.where}: {'.'.join(config.path)}: {error}") from None


class Section:
    """One object of the file. Its fields are taken out one by one; those left over are unknown.

    `path` is the names of the fields that lead to the object.
    """

    def __init__(self, values: Mapping[str, Any], where: str, path: tuple[str, ...] = ()) -> None:
        self.values = dict(values)
        self.where = where
        self.path = path

    def path_of(self, field: str) -> str:
        return ".".join((*self.path, field))

    def error(self, field: str, value: object, wanted: str) -> SettingsError:
        """The error for a field whose value may be shown."""
        came = "missing" if value is None else reprlib.repr(value)
        return self._error(field, came, wanted)

    def _error(self, field: str, came: str, wanted: str) -> SettingsError:
        return SettingsError(f"{self.where}: {self.path_of(field)} is {came}; it must be {wanted}")

    def take(self, field: str, default: Any, kind: type) -> Any:
        """Remove the field and return its value; the default if it is absent or null.

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
            # A database's URL contains a password; an object or a list may, and so may a string
            # where an object is wanted.
            private = field == "url" or kind is dict or isinstance(value, dict | list)
            came = json_type(value) if private else reprlib.repr(value)
            raise self._error(field, came, TYPE_NAMES[kind])
        return value

    def take_section(self, field: str) -> Section:
        """Remove the object in `field` and return it; an empty one if it is absent or null."""
        return Section(self.take(field, {}, dict), self.where, (*self.path, field))

    def refuse_rest(self, fields: Collection[str]) -> None:
        for field in self.values:
            known = ", ".join(fields)
            raise SettingsError(
                f"{self.where}: {self.path_of(field)} is not a field; the fields are {known}"
            )
