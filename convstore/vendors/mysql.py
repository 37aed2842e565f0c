"""From a mysql:// or mariadb:// URL to a Django connection over PyMySQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL

from convstore.vendors.options import (
    Unused,
    driver_arguments,
    echo,
    entry,
    isolation,
    must_name,
    need,
    one_connection_a_thread,
)

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
    "ssl_key_password": str,
    "ssl_verify_cert": bool,
    "ssl_verify_identity": bool,
    "write_timeout": int,
}
# SQLAlchemy's names for the entries of PyMySQL's `ssl`.
PYMYSQL_SSL: Mapping[str, type] = {
    "ssl_ca": str,
    "ssl_capath": str,
    "ssl_cert": str,
    "ssl_check_hostname": bool,
    "ssl_cipher": str,
    "ssl_key": str,
}


def mysql(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    need("mysql", "pymysql")
    must_name(url.database)
    isolation(options, "READ COMMITTED")
    arguments = driver_arguments(url, options)
    arguments.only("charset", "utf8mb4")
    arguments.take("use_unicode", None, bool)  # there is nothing but Unicode in Python
    socket = arguments.take("unix_socket", None, str)
    certificates = arguments.take_all(PYMYSQL_SSL)
    given = arguments.take_all(PYMYSQL)
    arguments.refuse_rest("MySQL")
    if certificates:
        ssl = {name.removeprefix("ssl_"): value for name, value in certificates.items()}
        given["ssl"] = {**given.get("ssl", {}), **ssl}
    return {
        **entry("convstore.backends.mysql", url, url.database),
        **({"HOST": socket, "PORT": ""} if socket else {}),
        "OPTIONS": {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            "connect_timeout": timeout,
            # The server gives up a lock first, so that we hear which of the two it was.
            "lock_wait_timeout": timeout,
            "read_timeout": timeout + 1,
            "write_timeout": timeout + 1,
            **given,
        },
        **one_connection_a_thread(options, "MySQL", checked=True),
        **echo(options),
    }
