"""From an mssql:// URL to a Django connection over Microsoft's mssql-python."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from sqlalchemy.engine import URL

from convstore.database.options import (
    Unused,
    driver_arguments,
    echo,
    entry,
    isolation,
    need,
    one_connection_a_thread,
)
from convstore.errors import DatabaseUrlError

# The keywords of Microsoft's driver, in lower case: what ODBC URLs name, and it takes.
MSSQL_KEYWORDS = (
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
# The ways to sign in for which the driver finds by itself what it needs.
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


def mssql(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    need("mssql", "mssql", "mssql_python")
    _need_odbc()
    isolation(options, "READ COMMITTED")
    arguments = _lower(driver_arguments(url, options))
    if text := arguments.take("odbc_connect", None, str):
        url = _odbc(text, url, arguments)
    if not url.database:
        raise DatabaseUrlError(
            "an SQL Server URL without a database names an ODBC data source, which the driver"
            " cannot read: write mssql://user:password@host/database"
        )
    arguments.take("driver", None, str)  # whichever it names, ours serves it
    arguments.only("charset", "utf8", "UTF-8", "UTF8")
    arguments.only("mars_connection", "no", "No", "False")
    # What pymssql calls `login_timeout` is `timeout` to the drivers of ODBC.
    login, query = arguments.take("login_timeout", timeout, int), timeout
    if url.drivername == "mssql+pymssql":
        query = arguments.take("timeout", timeout, int)
    else:
        login = arguments.take("timeout", login, int)
    keywords = arguments.take_all(dict.fromkeys(MSSQL_KEYWORDS, str))
    arguments.refuse_rest("SQL Server")
    for name in (name for name, value in keywords.items() if not value):
        raise DatabaseUrlError(f"connection argument {name} must not be empty")
    signs_in = keywords.get("authentication", "").strip().lower() in WITHOUT_PASSWORD
    if url.username and not url.password and not signs_in:
        raise DatabaseUrlError("an SQL Server URL with a user needs a password")
    # Once more in braces, without which the backend loses blanks at a password's ends.
    keywords["DATABASE"] = url.database
    if url.username and url.password:
        keywords |= {"UID": url.username, "PWD": url.password}
    return {
        **entry("mssql", url, url.database),
        "OPTIONS": {
            "python_driver": "mssql_python",  # Microsoft's own, in a wheel
            "isolation_level": "READ COMMITTED",
            "connection_timeout": login,
            "connection_retries": 0,  # the client is told instead, and asks again
            "query_timeout": query,
            "extra_params": ";".join(f"{name}={_braced(keywords[name])}" for name in keywords),
        },
        **one_connection_a_thread(options, "SQL Server", checked=True),
        **echo(options),
    }


def _need_odbc() -> None:
    """Django's backend imports pyodbc, and that a library of the system, whichever serves."""
    try:
        import_module("pyodbc")
    except ImportError as error:
        raise DatabaseUrlError(
            f"SQL Server needs a library of the system ({error}): apt-get install unixodbc"
        ) from None


def _lower(arguments: Unused) -> Unused:
    """ODBC's keywords know no case."""
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        if name.lower() in given:
            raise DatabaseUrlError(f"{arguments.label}{name} is given twice")
        given[name.lower()] = value
    return Unused(given, arguments.label, texts=True)


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"


def _odbc(text: str, url: URL, arguments: Unused) -> URL:
    """The URL that an ODBC connection string stands for; its other keywords go to `arguments`."""
    pairs: dict[str, str] = {}
    end = 0
    while found := ODBC_PAIR.match(text, end):
        name, braced, plain = found.groups()
        if name.lower() in pairs:
            raise DatabaseUrlError(f"{arguments.label}{name} is given twice")
        pairs[name.lower()] = plain if braced is None else braced.replace("}}", "}")
        end = found.end()
    if text[end:].strip("; \t"):
        raise DatabaseUrlError("odbc_connect must be keyword=value or keyword={value}, apart by ;")
    server = next((pairs.pop(name) for name in ("server", "address", "addr") if name in pairs), "")
    host, _, port = server.partition(",")
    if port and not re.fullmatch(r" *[0-9]{1,5} *", port):
        raise DatabaseUrlError("the SERVER of odbc_connect must be host or host,port")
    url = URL.create(
        url.drivername,
        username=pairs.pop("uid", None),
        password=pairs.pop("pwd", None),
        host=host.strip() or None,
        port=int(port) if port else None,
        database=pairs.pop("database", None),
    )
    arguments.update(pairs)
    return url
