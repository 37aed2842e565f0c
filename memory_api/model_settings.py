"""model-settings.json, the file that MLServer reads, to a Memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from convstore.database.parsed_url import ParsedUrl
from convstore.database.url import database_alias
from convstore.errors import DatabaseUrlError
from convstore.messages import MAX_NAME_CHARACTERS, TOKENS
from convstore.standby import standby_alias
from convstore.store import ConversationStore
from memory_api import mlserver_fields
from memory_api.did_you_mean import meant_name
from memory_api.errors import SettingsError, quote
from memory_api.json_text import json_type
from memory_api.memory import DEFAULT_TENSOR_NAMES, Memory
from memory_api.metrics import metrics_of
from memory_api.settings_section import Section, Warn
from memory_api.window_settings import (
    WINDOW_FIELDS,
    window_items,
    window_size,
    window_tokens,
    window_unit,
)

logger = logging.getLogger(__name__)

MODEL_TYPE = "chat.completions"
TOP_FIELDS = ("name", "implementation", "parameters", *mlserver_fields.MODEL_FIELDS)
PARAMETER_FIELDS = ("version", "extra", *mlserver_fields.ALL_PARAMETERS)
EXTRA_FIELDS = ("database", "config", "prompt_utils", "database_config", "memory_config")
PROMPT_FIELDS = ("model_type",)
# Tensors that have a meaning of their own, and are no part of a message.
NOT_OF_MESSAGES = frozenset(("memory_id", TOKENS))
MEMORY_FIELDS = (*WINDOW_FIELDS, "tensor_names", "model_type", "auto_migrate", "idempotency")
CONFIG_FIELDS = {
    "filesys": ("path", *MEMORY_FIELDS),
    "sql": ("url", "connection_options", "read_url", "stale_reads", *MEMORY_FIELDS),
}
# Not `path`, `url` and `model_type`, which Seldon's agent may put beside config for others.
ONLY_OF_CONFIG = frozenset(
    ("connection_options", "read_url", "stale_reads", *MEMORY_FIELDS)
).difference(PROMPT_FIELDS)


def read_model_settings(path: Path, where: str) -> dict[str, Any]:
    """The JSON object in the file. Raises SettingsError, whose text begins with `where`."""
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise SettingsError(f"{where} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{where} is {json_type(document)}; it must be a JSON object")
    return document


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object, of which Python would keep the last of two fields with one name."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in fields if names.count(name) > 1)
        raise ValueError(f"the field {quote(repeated)} is there twice; remove one")
    return fields


def memory_from_settings(
    document: Mapping[str, Any], where: str, *, name: str = "", warn: Warn = logger.warning
) -> Memory:
    """The memory that a model-settings.json describes; `name` is its name if the file has none.

    Raises SettingsError, whose text begins with `where` and the path of the field. `warn` is
    called with a sentence for each field that is accepted and has no effect.
    """
    top = Section(document, where)
    top.refuse_unknown(TOP_FIELDS)
    mlserver_fields.take_model_fields(top, warn)
    parameters = top.take_section("parameters")
    parameters.refuse_unknown(PARAMETER_FIELDS)
    mlserver_fields.take_parameter_fields(parameters, warn)
    extra = parameters.take_section("extra")
    # Seldon's agent puts the spec.parameters of a Model there, whatever they are.
    _refuse_fields_of_config(extra)
    extra.pass_over_unknown(EXTRA_FIELDS, warn)
    _check_prompt_utils(extra)
    name = _word(top, "name") or name
    version = _word(parameters, "version") or None
    older = extra.take("database_config", None, dict)
    database, config = _database_and_config(extra) if older is None else _older_shape(extra, older)
    _check_model_type(config)
    tensor_names = _tensor_names(config, needs_role=older is None)
    stale_reads = config.take("stale_reads", False, bool)
    if stale_reads and config.values.get("read_url") is None:
        warn(
            f"{where}: {config.path_of('stale_reads')} is true, and has no effect without read_url"
        )
    return Memory(
        name=name,
        version=version,
        window_size=window_size(config, warn),
        window_unit=window_unit(config, tensor_names),
        window_tokens=window_tokens(config),
        window_items=window_items(config),
        tensor_names=tensor_names,
        auto_migrate=config.take("auto_migrate", True, bool),
        once_per_request_id=_once_per_request_id(config),
        stale_reads=stale_reads,
        store=_store(database, config, metrics_of(name, version or "").observe_database),
    )


def _refuse_fields_of_config(extra: Section) -> None:
    for field in extra.values:
        if field in ONLY_OF_CONFIG:
            raise SettingsError(
                f"{extra.where}: {extra.path_of(field)} is a field of config; move it into"
                f" {extra.path_of('config')}"
            )


def _word(section: Section, field: str) -> str:
    """A text that can stand in a URL between two slashes; "" if the field is absent."""
    word: str = section.take(field, "", str)
    if not word.isprintable() or "/" in word or len(word) > MAX_NAME_CHARACTERS:
        wanted = f"up to {MAX_NAME_CHARACTERS} printable characters without a /"
        raise section.error(field, word, f"{wanted}, since it is in URLs")
    return word


def _check_prompt_utils(extra: Section) -> None:
    """Seldon documents this one field of it; what it asks for is what a memory does."""
    fields = extra.take("prompt_utils", None, dict)
    if fields is None:
        return
    prompt_utils = Section(fields, extra.where, (*extra.path, "prompt_utils"))
    prompt_utils.refuse_unknown(PROMPT_FIELDS)
    _check_model_type(prompt_utils, default=None)


def _check_model_type(section: Section, default: str | None = MODEL_TYPE) -> None:
    model_type = section.take("model_type", default, str)
    if model_type != MODEL_TYPE:
        raise section.error("model_type", model_type, repr(MODEL_TYPE))


def _database_and_config(extra: Section) -> tuple[str, Section]:
    """'filesys' or 'sql', and its fields."""
    database = _database(extra)
    if extra.take("memory_config", None, dict) is not None:
        raise SettingsError(
            f"{extra.where}: {extra.path_of('memory_config')} belongs to database_config, which is"
            " missing; use database and config instead"
        )
    config = extra.take_section("config")
    config.refuse_unknown(CONFIG_FIELDS[database])
    return database, config


def _older_shape(extra: Section, fields: Mapping[str, Any]) -> tuple[str, Section]:
    """The same out of database_config and memory_config, which Seldon had until 2024."""
    for field, kind in (("database", str), ("config", dict)):
        if extra.take(field, None, kind) is not None:
            raise SettingsError(
                f"{extra.where}: {extra.path_of(field)} and database_config are both there;"
                " remove database_config and memory_config"
            )
    older = Section(fields, extra.where, (*extra.path, "database_config"))
    database = _database(older)
    memory = extra.take_section("memory_config")
    for section in (older, memory):
        section.refuse_unknown(CONFIG_FIELDS[database])
    for field in older.values.keys() & memory.values.keys():
        raise SettingsError(
            f"{extra.where}: {memory.path_of(field)} is also in database_config; remove one"
        )
    return database, Section({**older.values, **memory.values}, memory.where, memory.path)


def _database(section: Section) -> str:
    database: str = section.take("database", None, str)
    if database not in CONFIG_FIELDS:
        raise section.error("database", database, "'filesys' or 'sql'")
    return database


def _tensor_names(config: Section, *, needs_role: bool) -> tuple[str, ...]:
    names = config.take("tensor_names", list(DEFAULT_TENSOR_NAMES), list)
    if (
        not all(isinstance(name, str) and name for name in names)
        or "content" not in names
        or not NOT_OF_MESSAGES.isdisjoint(names)
        or len(set(names)) < len(names)
    ):
        wanted = "a list of names, each once, with 'content', without 'memory_id' and 'tokens'"
        raise config.error("tensor_names", names, wanted)
    for name in names:
        if meant := meant_name(name, DEFAULT_TENSOR_NAMES):
            raise SettingsError(
                f"{config.where}: {config.path_of('tensor_names')} has {quote(name)};"
                f" did you mean {meant!r}?"
            )
    if needs_role and "role" not in names:
        wanted = "a list with 'role', since each message has one"
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
    url: str | ParsedUrl
    read_url = None
    if database == "filesys":
        folder = settings.DATA_DIR / config.take("path", "", str)
        url, options = ParsedUrl("sqlite", database=str(folder / "conversations.sqlite3")), {}
    else:
        url = config.take("url", settings.DATABASE_URL, str)
        options = config.take("connection_options", {}, dict)
        read_url = config.take("read_url", None, str)
    where = ".".join(config.path)
    try:
        alias = database_alias(url, options)
        where = config.path_of("read_url")
        standby = None if read_url is None else standby_alias(read_url, options)
    except DatabaseUrlError as error:
        raise SettingsError(f"{config.where}: {where}: {error}") from None
    return ConversationStore(alias, observe=observe, standby=standby)
