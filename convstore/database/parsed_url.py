"""A database URL in its parts, as SQLAlchemy reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from convstore.errors import DatabaseUrlError

# SQLAlchemy takes a fifth of a second to import. A URL of this form can be read in one way only.
PLAIN = re.compile(
    r"([a-z]+)://(?:([\w.-]+)(?::([\w.-]+))?@)?([\w.-]+)?(?::([0-9]{1,5}))?/([\w./-]+)",
    re.ASCII,
)

ENCODING = "percent-encode any of @ : / ? # % in the user or the password"
SEVERAL_HOSTS = (
    "name several hosts of PostgreSQL by postgresql://user:password@/database?host=a:5432"
    "&host=b:5432&target_session_attrs=read-write; for other databases name one, such as a proxy's"
)


class ParsedUrl(NamedTuple):
    """The parts of a database URL, in the order of SQLAlchemy's `URL`."""

    drivername: str
    """The dialect, and perhaps a driver: `postgresql+psycopg`."""

    username: str | None = None
    password: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    query: Mapping[str, str | tuple[str, ...]] = MappingProxyType({})

    @property
    def dialect(self) -> str:
        return self.drivername.partition("+")[0]


def parse_url(url: str) -> ParsedUrl:
    """The parts of the URL. Raises DatabaseUrlError."""
    if plain := PLAIN.fullmatch(url):
        dialect, username, password, host, port, database = plain.groups()
        return ParsedUrl(dialect, username, password, host, int(port) if port else None, database)
    return _parse_by_sqlalchemy(url)


def _parse_by_sqlalchemy(url: str) -> ParsedUrl:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return ParsedUrl(*make_url(url))
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(
            "the database URL is not of the form dialect://user:password@host:port/database"
            f" ({SEVERAL_HOSTS if _has_several_hosts(url) else ENCODING})"
        ) from None


def _has_several_hosts(url: str) -> bool:
    """Whether the address is that of several servers, as libpq's own URLs have it."""
    return "," in url.partition("://")[2].partition("/")[0].rpartition("@")[2]
