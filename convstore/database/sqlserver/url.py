"""From an mssql:// URL to a Django connection over Microsoft's mssql-python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from convstore.database.options import (
    Options,
    base_entry,
    connection_per_thread,
    do_nothing,
    require_driver,
    server_location,
    take_driver_arguments,
    take_echo,
    take_isolation_level,
    without_options,
)
from convstore.database.parsed_url import ParsedUrl
from convstore.errors import DatabaseUrlError

# The keywords that ODBC URLs use and Microsoft's driver knows, in lower case.
KEYWORDS = (
    "applicationintent",
    "authentication",
    "connectretrycount",
    "connectretryinterval",
    "encrypt",
    "hostnameincertificate",
    "ipaddresspreference",
    "keepalive",
    "keepaliveinterval",
    "multisubnetfailover",
    "packet size",
    "packetsize",
    "servercertificate",
    "serverspn",
    "trusted_connection",
    "trustservercertificate",
)
# The ways to sign in for which the driver needs no password.
WITHOUT_PASSWORD = (
    "activedirectorydefault",
    "activedirectorydeviceflow",
    "activedirectoryintegrated",
    "activedirectoryinteractive",
    "activedirectorymsi",
)
# One `keyword=value` or `keyword={value}` of an ODBC connection string; }} is a } inside.
ODBC_PAIR = re.compile(
    r"[ \t;]*([^=;]+?)[ \t]*=[ \t]*(?:\{((?:[^}]|\}\})*)\}|((?!\{)[^;]*?))[ \t]*(?:;|\Z)"
)


# What says how to connect, but not to which database.
NON_IDENTIFYING_OPTIONS = frozenset(
    {"python_driver", "connection_timeout", "connection_retries", "query_timeout"}
    | {"isolation_level"}
)
prepare = do_nothing
location = server_location


def database_settings(url: ParsedUrl, options: Options, timeout: int) -> dict[str, Any]:
    require_driver("convstore[mssql]", "mssql", "mssql_python")
    _require_odbc_library()
    take_isolation_level(options, "READ COMMITTED")
    arguments = _lower(take_driver_arguments(url, options))
    if text := arguments.take("odbc_connect", None, str):
        url = _url_of_odbc(text, url, arguments)
    if not url.database:
        raise DatabaseUrlError(
            "an SQL Server URL without a database names an ODBC data source, which the driver"
            " cannot read: write mssql://user:password@host/database"
        )
    arguments.take("driver", None, str)  # whatever it names, our driver does the same
    arguments.take_one_of("charset", "utf8", "UTF-8", "UTF8")
    arguments.take_one_of("mars_connection", "no", "No", "False")
    login_timeout, query_timeout = _take_timeouts(url, arguments, timeout)
    keywords = _take_keywords(url, arguments)
    return {
        **base_entry("mssql", url, url.database),
        "OPTIONS": {
            "python_driver": "mssql_python",  # Microsoft's own, in a wheel
            "isolation_level": "READ COMMITTED",
            "connection_timeout": login_timeout,
            "connection_retries": 0,  # the client is told instead, and asks again
            "query_timeout": query_timeout,
            "extra_params": ";".join(f"{name}={_in_braces(keywords[name])}" for name in keywords),
        },
        **connection_per_thread(options, "SQL Server", checked=True),
        **take_echo(options),
    }


def _take_timeouts(url: ParsedUrl, arguments: Options, default: int) -> tuple[int, int]:
    """The seconds for signing in and for a query.

    What pymssql calls `login_timeout` is `timeout` in ODBC drivers; pymssql's `timeout` is
    for queries.
    """
    login = arguments.take("login_timeout", default, int)
    if url.drivername == "mssql+pymssql":
        return login, arguments.take("timeout", default, int)
    return arguments.take("timeout", login, int), default


def _take_keywords(url: ParsedUrl, arguments: Options) -> dict[str, str]:
    """The keywords of the connection string."""
    keywords: dict[str, str] = arguments.take_present(dict.fromkeys(KEYWORDS, str))
    arguments.refuse_rest("SQL Server")
    for name in (name for name, value in keywords.items() if not value):
        raise DatabaseUrlError(f"connection argument {name} must not be empty")
    signs_in = keywords.get("authentication", "").strip().lower() in WITHOUT_PASSWORD
    if url.username and not url.password and not signs_in:
        raise DatabaseUrlError("an SQL Server URL with a user needs a password")
    # Django's backend writes these three as well, but without braces, and then the driver
    # drops blanks at the ends of a password.
    keywords["DATABASE"] = url.database or ""
    if url.username and url.password:
        keywords |= {"UID": url.username, "PWD": url.password}
    return keywords


def _require_odbc_library() -> None:
    """Django's backend always imports pyodbc, which needs a library of the system."""
    try:
        import_module("pyodbc")
    except ImportError as error:
        raise DatabaseUrlError(
            f"SQL Server needs a library of the system ({error}): apt-get install unixodbc"
        ) from None


def _lower(arguments: Options) -> Options:
    """The arguments by lower-case name, since ODBC's keywords ignore case."""
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        if name.lower() in given:
            raise DatabaseUrlError(f"{arguments.label}{name} is given twice; give it once")
        given[name.lower()] = value
    return Options(given, arguments.label, texts=True)


def _in_braces(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"


def _url_of_odbc(text: str, url: ParsedUrl, arguments: Options) -> ParsedUrl:
    """The URL for an ODBC connection string; adds its other keywords to `arguments`."""
    pairs: dict[str, str] = {}
    end = 0
    while found := ODBC_PAIR.match(text, end):
        name, braced, plain = found.groups()
        if name.lower() in pairs:
            raise DatabaseUrlError(f"{arguments.label}{name} is given twice; give it once")
        pairs[name.lower()] = plain if braced is None else braced.replace("}}", "}")
        end = found.end()
    if text[end:].strip("; \t"):
        raise DatabaseUrlError(
            "odbc_connect must be a list of keyword=value or keyword={value}, separated by ;"
        )
    server = next((pairs.pop(name) for name in ("server", "address", "addr") if name in pairs), "")
    host, _, port = server.partition(",")
    if port and not re.fullmatch(r" *[0-9]{1,5} *", port):
        raise DatabaseUrlError("the SERVER of odbc_connect must be host or host,port")
    url = ParsedUrl(
        url.drivername,
        username=pairs.pop("uid", None),
        password=pairs.pop("pwd", None),
        host=host.strip() or None,
        port=int(port) if port else None,
        database=pairs.pop("database", None),
    )
    arguments.update(pairs)
    return url


def without_time_limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    return without_options(entry, "query_timeout")
