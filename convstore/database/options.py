"""Engine options and driver arguments: honoured or refused by name, never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from math import isfinite
from typing import Any

from django.conf import settings
from sqlalchemy.engine import URL

from convstore.errors import DatabaseUrlError

TRUTHS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False, "no": False, "off": False, "0": False
}  # fmt: skip

# No more digits than any driver takes.
WHOLE = re.compile(r"[0-9]{1,18}")
DECIMAL = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}")
MOST_SECONDS = 365 * 24 * 60 * 60


class Unused(dict[str, Any]):
    """Options or arguments, taken out one by one as they are honoured.

    `label` is what an error calls one; `texts` says that values may be given as text, as
    all those of a URL are.
    """

    def __init__(self, values: Mapping[str, Any], label: str, *, texts: bool = False) -> None:
        super().__init__(values)
        self.label, self.texts = label, texts

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """The value, taken out; DatabaseUrlError when it is of another type."""
        value = self.pop(name, None)
        if value is None:
            return default
        if self.texts and isinstance(value, str) and str not in kinds:
            value = _read(value, kinds)
        if kinds == (float,) and type(value) is int:
            value = float(value)
        # bool is an int to Python, and not to anybody who writes "pool_size": true.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise DatabaseUrlError(f"{self.label}{name} must be of type {names}")
        if isinstance(value, float) and not isfinite(value):
            raise DatabaseUrlError(f"{self.label}{name} must be a finite number")
        return value

    def take_all(self, kinds: Mapping[str, type]) -> dict[str, Any]:
        """Those of `kinds` that are there, each of its type, taken out."""
        return {name: self.take(name, None, kinds[name]) for name in kinds if name in self}

    def only(self, name: str, *allowed: object) -> None:
        """Take one out that may have but these values, all of them what we do anyway."""
        value = self.pop(name, allowed[0])
        if value not in allowed:
            choice = " or ".join(map(repr, dict.fromkeys(allowed)))
            raise DatabaseUrlError(f"{self.label}{name} can only be {choice}")

    def refuse_rest(self, vendor: str) -> None:
        for name in self:
            raise DatabaseUrlError(f"{self.label}{name} cannot be honoured on {vendor}")


def _read(text: str, kinds: tuple[type, ...]) -> object:
    """A URL's text as the truth value or the number that it spells, else as it is."""
    if bool in kinds:
        return TRUTHS.get(text.lower(), text)
    if float in kinds and DECIMAL.fullmatch(text):
        return float(text)
    return int(text) if WHOLE.fullmatch(text) else text


def entry(engine: str, url: URL, database: str | None) -> dict[str, Any]:
    return {
        "ENGINE": engine,
        "NAME": database or "",
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.host or "",
        "PORT": str(url.port or ""),
        "OPTIONS": {},
    }


def driver_arguments(url: URL, options: Unused) -> Unused:
    """The arguments for the driver: the URL's, and those of `connect_args`."""
    given = {**url.query, **options.take("connect_args", {}, dict)}
    return Unused(given, "connection argument ", texts=True)


def most_connections(options: Unused) -> int | None:
    """How many connections a pool may have; None for no pool, or no limit."""
    if not any(name in options for name in ("pool_size", "max_overflow", "pool_timeout")):
        return None
    size = options.take("pool_size", 5, int)
    overflow = options.take("max_overflow", 10, int)
    if size < 0 or overflow < -1:
        raise DatabaseUrlError("connection_options.pool_size and max_overflow must not be negative")
    return None if size == 0 or overflow == -1 else size + overflow


def pool_wait(options: Unused, default: float) -> float:
    """For how many seconds a thread waits for a connection of the pool."""
    wait: float = options.take("pool_timeout", default, int, float)
    if not 0 <= wait <= MOST_SECONDS:
        raise DatabaseUrlError(
            f"connection_options.pool_timeout must be from 0 to {MOST_SECONDS} seconds"
        )
    return wait


def replaced_after(options: Unused) -> int | None:
    """After how many seconds a connection is replaced; None for never."""
    seconds: int = options.take("pool_recycle", -1, int)
    if seconds == 0 or seconds < -1:
        raise DatabaseUrlError(
            "connection_options.pool_recycle must be a number of seconds from 1, or -1 for never"
        )
    return None if seconds == -1 else seconds


def one_connection_a_thread(options: Unused, vendor: str, *, checked: bool) -> dict[str, Any]:
    """The life of connections without a pool: each thread keeps one.

    A limit that the threads of a process cannot reach is held by itself. `checked` is
    whether Django looks before it uses one, for the admin; the store needs that nowhere.
    """
    limit = most_connections(options)
    pool_wait(options, 0)  # nobody waits for a connection
    if limit is not None and limit < settings.THREADS:
        raise DatabaseUrlError(
            f"connection_options.pool_size with max_overflow allows {limit} connections, and on"
            f" {vendor} each of the {settings.THREADS} threads keeps one: lower THREADS or raise it"
        )
    return {
        "CONN_MAX_AGE": replaced_after(options),
        "CONN_HEALTH_CHECKS": options.take("pool_pre_ping", checked, bool),
    }


def isolation(options: Unused, *allowed: str) -> None:
    """Any other than what we use anyway is refused: windows would get holes."""
    if isinstance(level := options.get("isolation_level"), str):
        options["isolation_level"] = level.upper().replace("_", " ")
    options.only("isolation_level", *allowed, "AUTOCOMMIT")


def echo(options: Unused) -> dict[str, bool]:
    """SQLAlchemy's way to have every statement in the log."""
    return {"ECHO": True} if options.take("echo", False, bool) else {}


def need(extra: str, *modules: str) -> None:
    """Refuse a vendor whose driver is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise DatabaseUrlError(
                f"the driver for this database, {module}, is not installed: it comes with the"
                f" extra [{extra}], as in: .venv/bin/pip install -e '.[{extra}]'"
            )


def must_name(database: object) -> None:
    if not database:
        raise DatabaseUrlError("the database URL names no database, as in //user@host/database")
