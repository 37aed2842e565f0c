"""Engine options and driver arguments: each is honoured or refused by name, none is ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from math import isfinite
from typing import Any

from convstore.conf import threads
from convstore.database.parsed_url import ParsedUrl
from convstore.errors import DatabaseUrlError

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False, "no": False, "off": False, "0": False
}  # fmt: skip

# No more digits than any driver takes.
INTEGER = re.compile(r"[0-9]{1,18}")
DECIMAL = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}")
MAX_SECONDS = 365 * 24 * 60 * 60


class Options(dict[str, Any]):
    """Options or arguments, of which each is removed when it is honoured.

    `label` stands before the name of an option in an error. With `texts`, values may be
    texts that spell a number or a truth value, as in the query of a URL.
    """

    def __init__(self, values: Mapping[str, Any], label: str, *, texts: bool = False) -> None:
        super().__init__(values)
        self.label, self.texts = label, texts

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """Remove the option and return its value. Raises DatabaseUrlError for another type."""
        value = self.pop(name, None)
        if value is None:
            return default
        if self.texts and isinstance(value, str) and str not in kinds:
            value = _parse(value, kinds)
        if kinds == (float,) and type(value) is int:
            value = float(value)
        # To Python a bool is an int; to people, "pool_size": true is a mistake.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            came = type(value).__name__
            raise DatabaseUrlError(f"{self.label}{name} is of type {came}; it must be {names}")
        if isinstance(value, float) and not isfinite(value):
            raise DatabaseUrlError(f"{self.label}{name} must be a finite number")
        return value

    def take_present(self, kinds: Mapping[str, type]) -> dict[str, Any]:
        """Remove and return those of `kinds` that are given, each of its type."""
        return {name: self.take(name, None, kinds[name]) for name in kinds if name in self}

    def take_one_of(self, name: str, *allowed: object) -> None:
        """Remove an option that may only ask for what we do anyway, in one of these spellings."""
        value = self.pop(name, allowed[0])
        if value not in allowed:
            choice = " or ".join(map(repr, dict.fromkeys(allowed)))
            raise DatabaseUrlError(f"{self.label}{name} must be {choice}, or be left out")

    def refuse_rest(self, vendor: str) -> None:
        """Raise DatabaseUrlError if an option is left that nobody has honoured."""
        for name in self:
            raise DatabaseUrlError(f"{self.label}{name} is not supported on {vendor}; remove it")


def _parse(text: str, kinds: tuple[type, ...]) -> object:
    """The truth value or the number that a URL's text spells, else the text itself."""
    if bool in kinds:
        return BOOLEANS.get(text.lower(), text)
    if float in kinds and DECIMAL.fullmatch(text):
        return float(text)
    return int(text) if INTEGER.fullmatch(text) else text


def base_entry(engine: str, url: ParsedUrl, database: str | None) -> dict[str, Any]:
    """The part of an entry of DATABASES that all servers have in common."""
    return {
        "ENGINE": engine,
        "NAME": database or "",
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.host or "",
        "PORT": str(url.port or ""),
        "OPTIONS": {},
    }


def take_driver_arguments(url: ParsedUrl, options: Options) -> Options:
    """The arguments for the driver: those of the URL, then those of `connect_args`."""
    given = {**url.query, **options.take("connect_args", {}, dict)}
    return Options(given, "connection argument ", texts=True)


def take_pool_limit(options: Options) -> int | None:
    """The most connections of a pool; None for no pool, or for no limit."""
    if not any(name in options for name in ("pool_size", "max_overflow", "pool_timeout")):
        return None
    size = options.take("pool_size", 5, int)
    overflow = options.take("max_overflow", 10, int)
    if size < 0 or overflow < -1:
        raise DatabaseUrlError(
            "connection_options.pool_size must be at least 0, and max_overflow at least -1, which"
            " means no limit"
        )
    return None if size == 0 or overflow == -1 else size + overflow


def take_pool_timeout(options: Options, default: float) -> float:
    """How many seconds a thread waits for a connection of the pool."""
    wait: float = options.take("pool_timeout", default, int, float)
    if not 0 <= wait <= MAX_SECONDS:
        raise DatabaseUrlError(
            f"connection_options.pool_timeout must be from 0 to {MAX_SECONDS} seconds"
        )
    return wait


def take_pool_recycle(options: Options) -> int | None:
    """How many seconds a connection is used before it is replaced; None for ever."""
    seconds: int = options.take("pool_recycle", -1, int)
    if seconds == 0 or seconds < -1:
        raise DatabaseUrlError(
            "connection_options.pool_recycle must be a number of seconds from 1, or -1 for never"
        )
    return None if seconds == -1 else seconds


def connection_per_thread(options: Options, vendor: str, *, checked: bool) -> dict[str, Any]:
    """How long connections live without a pool: each thread keeps one.

    A limit on connections is met if the process has no more threads than that. `checked`:
    Django tests a connection before the admin uses it; the store does without the test.
    """
    limit = take_pool_limit(options)
    take_pool_timeout(options, 0)  # accepted, but without a pool nobody waits
    if limit is not None and limit < threads():
        raise DatabaseUrlError(
            f"connection_options.pool_size and max_overflow allow {limit} connections, but on"
            f" {vendor} each of the {threads()} threads keeps one: raise pool_size or lower THREADS"
        )
    return {
        "CONN_MAX_AGE": take_pool_recycle(options),
        "CONN_HEALTH_CHECKS": options.take("pool_pre_ping", checked, bool),
    }


def take_isolation_level(options: Options, *allowed: str) -> None:
    """Refuse any level but READ COMMITTED: under another one, windows miss messages."""
    if isinstance(level := options.get("isolation_level"), str):
        options["isolation_level"] = level.upper().replace("_", " ")
    options.take_one_of("isolation_level", *allowed, "AUTOCOMMIT")


def take_echo(options: Options) -> dict[str, bool]:
    """SQLAlchemy's option to log every statement."""
    return {"ECHO": True} if options.take("echo", False, bool) else {}


def require_driver(package: str, *modules: str) -> None:
    """Raise DatabaseUrlError if a module of the driver, which `package` brings, is missing."""
    for module in modules:
        if find_spec(module) is None:
            raise DatabaseUrlError(
                f"the driver for this database, {module}, is not installed:"
                f" run pip install '{package}'"
            )


def require_database(database: object) -> None:
    """Raise DatabaseUrlError if the URL names no database."""
    if not database:
        raise DatabaseUrlError("the database URL names no database, as in //user@host/database")


def server_location(entry: Mapping[str, Any]) -> str:
    """The database and the host of a server, for people: no user and no password."""
    options = entry["OPTIONS"]
    host = entry["HOST"] or options.get("host") or options.get("unix_socket") or "localhost"
    port = f":{entry['PORT']}" if entry["PORT"] else ""
    return f"{entry['NAME'] or options.get('service', '')} on {host}{port}"


def without_options(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The entry without these names in its OPTIONS."""
    options = {name: value for name, value in entry["OPTIONS"].items() if name not in names}
    return {**entry, "OPTIONS": options}


def do_nothing(entry: Mapping[str, Any]) -> None:
    """For vendors that need nothing before a connection can be opened."""
