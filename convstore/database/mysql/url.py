"""From a mysql:// or mariadb:// URL to a Django connection over PyMySQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convstore.database.options import (
    MAX_SECONDS,
    Options,
    base_entry,
    connection_per_thread,
    do_nothing,
    require_database,
    require_driver,
    server_location,
    take_driver_arguments,
    take_echo,
    take_isolation_level,
    without_options,
)
from convstore.database.parsed_url import ParsedUrl
from convstore.errors import DatabaseUrlError

# Arguments of PyMySQL that nothing else in the session depends on.
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
# SQLAlchemy's and PyMySQL's names for the entries of PyMySQL's `ssl`. PyMySQL ignores `ssl`
# if one of its own names is given as well, so all of them are merged into it.
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


# What says how to connect, but not to which database.
NON_IDENTIFYING_OPTIONS = frozenset(
    {"connect_timeout", "read_timeout", "write_timeout", "lock_wait_timeout"}
    | {"init_command", "isolation_level"}
)
prepare = do_nothing
location = server_location


def database_settings(url: ParsedUrl, options: Options, timeout: int) -> dict[str, Any]:
    require_driver("PyMySQL[rsa]", "pymysql")
    require_database(url.database)
    take_isolation_level(options, "READ COMMITTED")
    arguments = take_driver_arguments(url, options)
    arguments.take_one_of("charset", "utf8mb4")
    arguments.take_one_of("use_unicode", True, "1", "true", "True")
    socket = arguments.take("unix_socket", None, str)
    ssl = _ssl(arguments)
    given = arguments.take_present(PYMYSQL)
    arguments.refuse_rest("MySQL")
    if ssl:
        given["ssl"] = {**given.get("ssl", {}), **ssl}
    for name in ("connect_timeout", "read_timeout", "write_timeout"):
        if name in given and not 1 <= given[name] <= MAX_SECONDS:
            raise DatabaseUrlError(
                f"connection argument {name} must be from 1 to {MAX_SECONDS} seconds"
            )
    return {
        **base_entry("convstore.database.mysql", url, url.database),
        **({"HOST": "", "PORT": ""} if socket else {}),
        "OPTIONS": {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            "connect_timeout": timeout,
            # Shorter than read_timeout, so that the server reports a lock first.
            "lock_wait_timeout": timeout,
            "read_timeout": timeout + 1,
            "write_timeout": timeout + 1,
            **({"unix_socket": socket} if socket else {}),
            **given,
        },
        **connection_per_thread(options, "MySQL", checked=True),
        **take_echo(options),
    }


def _ssl(arguments: Options) -> dict[str, Any]:
    """PyMySQL's `ssl`, made of all the names that exist for its entries."""
    given = arguments.take_present({name: kind for name, (_, kind) in PYMYSQL_SSL.items()})
    if given.get("ssl_verify_identity") and not ("ssl_ca" in given or "ssl_capath" in given):
        raise DatabaseUrlError("connection argument ssl_verify_identity needs ssl_ca as well")
    ssl = {PYMYSQL_SSL[name][0]: value for name, value in given.items()}
    if ssl.get("verify_mode") is False:  # then there is no certificate whose name could be checked
        ssl["check_hostname"] = False
    return ssl


def without_time_limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    return without_options(entry, "read_timeout")
