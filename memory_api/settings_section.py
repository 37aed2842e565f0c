"""One object of a model-settings.json, whose fields are taken out one by one and checked."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from memory_api.did_you_mean import did_you_mean, meant_name
from memory_api.errors import MAX_QUOTED_CHARACTERS, SettingsError, quote
from memory_api.json_text import json_type

# Called with a sentence for each field that is accepted and has no effect.
Warn = Callable[[str], object]
TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def _describe_value(value: object) -> str:
    """The value for a sentence that clients may read, but not a URL, which may have a password."""
    text = str(value)
    return json_type(value) if "://" in text or "@" in text else reprlib.repr(value)


class Section:
    """One object of the file. Its fields are taken out one by one; those left over are unknown.

    `path` is the names of the fields that lead to the object.
    """

    def __init__(self, values: Mapping[str, Any], where: str, path: tuple[str, ...] = ()) -> None:
        self.values = dict(values)
        self.where = where
        self.path = path

    def path_of(self, field: str) -> str:
        is_plain = field.isidentifier() and len(field) <= MAX_QUOTED_CHARACTERS
        return ".".join((*self.path, field if is_plain else quote(field)))

    def error(self, field: str, value: object, wanted: str) -> SettingsError:
        """The error for a field whose value may be shown."""
        return self._error(field, "missing" if value is None else _describe_value(value), wanted)

    def _error(self, field: str, came: str, wanted: str) -> SettingsError:
        return SettingsError(f"{self.where}: {self.path_of(field)} is {came}; it must be {wanted}")

    def take(self, field: str, default: Any, kind: type) -> Any:
        """Remove the field and return its value; the default if it is absent or null.

        Seldon's agent writes every value that it merges as a string: where another type is
        wanted, a string is read as the JSON that it holds.
        """
        value = self.values.pop(field, None)
        if isinstance(value, str) and kind is not str:
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if value is None:
            return default
        kinds = (int, float) if kind is float else kind
        if not isinstance(value, kinds) or (kind is not bool and isinstance(value, bool)):
            # A database's URL contains a password; an object or a list may, and so may a string
            # where an object is wanted.
            private = field in ("url", "read_url") or kind is dict or isinstance(value, dict | list)
            came = json_type(value) if private else _describe_value(value)
            raise self._error(field, came, TYPE_NAMES[kind])
        return value

    def take_section(self, field: str) -> Section:
        """Remove the object in `field` and return it; an empty one if it is absent or null."""
        return Section(self.take(field, {}, dict), self.where, (*self.path, field))

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raise SettingsError if there is a field that is not one of `known`."""
        for field in self.values:
            if field not in known:
                fields = ", ".join(known)
                raise SettingsError(
                    f"{self.where}: {self.path_of(field)} is not a field; the fields are {fields}"
                    f"{did_you_mean(field, known)}"
                )

    def pass_over_unknown(self, known: Collection[str], warn: Warn) -> None:
        """Warn of other fields than `known`; raise SettingsError for one that is misspelt."""
        for field in self.values:
            if meant := meant_name(field, known):
                raise SettingsError(
                    f"{self.where}: {self.path_of(field)} is not a field; did you mean {meant!r}?"
                )
            if field not in known:
                warn(
                    f"{self.where}: {self.path_of(field)} is unknown and ignored"
                    f"{did_you_mean(field, known)}"
                )
