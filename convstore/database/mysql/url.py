"""From a mysql:// or mariadb:// URL to a Django connection over PyMySQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL

from convstore.database.options import (
    MOST_SECONDS,
    Unused,
    driver_arguments,
    echo,
    entry,
    isolation,
    must_name,
    need,
    one_connection_a_thread,
)
from convstore.errors import DatabaseUrlError

# What PyMySQL takes beside the address, and nothing else in the session depends on.
PYMYSQL: Mapping[str, type] = {
    "bind_address": str,
    "connect_timeout": int,
    "init_command": str,
    "program_name": str,
    "read_default_file": str,
    "read_default_group": str,
    "read_timeout": int,
    "sql_mode": str,
    "ssl": dict,
    "ssl_disabled": bool,
    "write_timeout": int,
}
# SQLAlchemy's and PyMySQL's names for the entries of PyMySQL's `ssl`: given beside it, the
# latter would throw it away.
PYMYSQL_SSL: Mapping[str, tuple[str, type]] = {
    "ssl_ca": ("ca", str),
    "ssl_capath": ("capath", str),
    "ssl_cert": ("cert", str),
    "ssl_check_hostname": ("check_hostname", bool),
    "ssl_cipher": ("cipher", str),
    "ssl_key": ("key", str),
    "ssl_key_password": ("password", str),
    "ssl_verify_cert": ("verify_mode", bool),
    "ssl_verify_identity": ("check_hostname", bool),
}


def mysql(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    need("mysql", "pymysql")
    must_name(url.database)
    isolation(options, "READ COMMITTED")
    arguments = driver_arguments(url, options)
    arguments.only("charset", "utf8mb4")
    arguments.only("use_unicode", True, "1", "true", "True")
    socket = arguments.take("unix_socket", None, str)
    ssl = _ssl(arguments)
    given = arguments.take_all(PYMYSQL)
    arguments.refuse_rest("MySQL")
    if ssl:
        given["ssl"] = {**given.get("ssl", {}), **ssl}
    for name in ("connect_timeout", "read_timeout", "write_timeout"):
        if name in given and not 1 <= given[name] <= MOST_SECONDS:
            raise DatabaseUrlError(
                f"connection argument {name} must be from 1 to {MOST_SECONDS} seconds"
            )
    return {
        **entry("convstore.database.mysql", url, url.database),
        **({"HOST": "", "PORT": ""} if socket else {}),
        "OPTIONS": {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            "connect_timeout": timeout,
            # The server gives up a lock first, so that we hear which of the two it was.
            "lock_wait_timeout": timeout,
            "read_timeout": timeout + 1,
            "write_timeout": timeout + 1,
            **({"unix_socket": socket} if socket else {}),
            **given,
        },
        **one_connection_a_thread(options, "MySQL", checked=True),
        **echo(options),
    }


def _ssl(arguments: Unused) -> dict[str, Any]:
    """PyMySQL's `ssl`, out of all the names that there are for its entries."""
    given = arguments.take_all({name: kind for name, (_, kind) in PYMYSQL_SSL.items()})
    if given.get("ssl_verify_identity") and not ("ssl_ca" in given or "ssl_capath" in given):
        raise DatabaseUrlError("connection argument ssl_verify_identity needs ssl_ca as well")
    ssl = {PYMYSQL_SSL[name][0]: value for name, value in given.items()}
    if ssl.get("verify_mode") is False:  # then there is no name to look at
        ssl["check_hostname"] = False
    return ssl
