"""From a postgresql:// URL to a Django connection over psycopg.

psycopg takes a tenth of a second to import, so those who have no PostgreSQL do without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from convstore.database.options import (
    Options,
    base_entry,
    connection_per_thread,
    do_nothing,
    require_database,
    server_location,
    take_echo,
    take_isolation_level,
    take_pool_limit,
    take_pool_recycle,
    take_pool_timeout,
    without_options,
)
from convstore.database.parsed_url import ParsedUrl
from convstore.errors import DatabaseUrlError

# A name and its port, as SQLAlchemy reads them; IPv6 addresses and sockets do not match.
HOST_AND_PORT = re.compile(r"([A-Za-z0-9.-]*):([0-9]*)")


# What says how to connect, but not to which database.
NON_IDENTIFYING_OPTIONS = frozenset(
    {"pool", "connect_timeout", "read_timeout", "keepalives_idle", "tcp_user_timeout"}
    | {"application_name", "isolation_level"}
)
prepare = do_nothing
location = server_location


def database_settings(url: ParsedUrl, options: Options, timeout: int) -> dict[str, Any]:
    from psycopg import IsolationLevel

    arguments = _libpq_arguments(url, options)
    take_isolation_level(options, "READ COMMITTED")
    # If no database is named, libpq takes the one that has the user's name.
    database = url.database or arguments.pop("dbname", None)
    if not database and "service" not in arguments:
        require_database(database := url.username)
    return {
        **base_entry("convstore.database.postgresql", url, database),
        # As with SQLAlchemy, an argument wins over the same thing in the URL's address.
        **{name: "" for name in ("HOST", "PORT", "USER", "PASSWORD") if name.lower() in arguments},
        "OPTIONS": {
            "connect_timeout": timeout,
            # One second more than the lock_timeout, so that the server reports a lock first.
            "read_timeout": timeout + 1,
            # For a server that vanishes from the network while it works, or while we send.
            "keepalives_idle": timeout,
            "tcp_user_timeout": timeout * 1000,
            **arguments,
            # Under any other level windows miss messages, whatever the server's default.
            "isolation_level": IsolationLevel.READ_COMMITTED,
            **(pool := _psycopg_pool(options, timeout)),
        },
        "DISABLE_SERVER_SIDE_CURSORS": True,  # they do not survive pgbouncer
        **(
            {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": options.take("pool_pre_ping", False, bool)}
            if pool
            else connection_per_thread(options, "PostgreSQL", checked=True)
        ),
        **take_echo(options),
    }


def _libpq_arguments(url: ParsedUrl, options: Options) -> dict[str, Any]:
    """The arguments of the URL and of `connect_args`, each of which libpq knows."""
    from psycopg.pq import Conninfo

    given = Options(
        {**_hosts(url), **options.take("connect_args", {}, dict)}, "connection argument "
    )
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    Options({n: v for n, v in given.items() if n not in known}, given.label).refuse_rest(
        "PostgreSQL"
    )
    given.take_one_of("client_encoding", "utf8", "UTF8", "utf-8", "UTF-8")
    arguments = {name: given.take(name, None, str, int, bool) for name in list(given)}
    for name, value in arguments.items():
        if "\0" in str(value):
            raise DatabaseUrlError(f"connection argument {name} contains a NUL; remove it")
    return arguments


def _hosts(url: ParsedUrl) -> dict[str, Any]:
    """The arguments of the URL; several `host=name:port` become libpq's lists."""
    arguments: dict[str, Any] = dict(url.query)
    hosts, ports = (_as_list(arguments.pop(name, ())) for name in ("host", "port"))
    if any(HOST_AND_PORT.fullmatch(host) for host in hosts):
        if ports:
            raise DatabaseUrlError(
                "connection argument port must be left out if a host has a port, as in host=a:1"
            )
        split = [HOST_AND_PORT.fullmatch(host) for host in hosts]
        ports = [found[2] if found else "" for found in split]
        hosts = [found[1] if found else host for found, host in zip(split, hosts, strict=True)]
    names, numbers = ",".join(hosts), ",".join(ports)
    if not all(re.fullmatch(r"[0-9]{0,5}", port) for port in numbers.split(",")):
        raise DatabaseUrlError("connection argument port must be a number of at most 5 digits")
    if any(HOST_AND_PORT.fullmatch(host) for host in names.split(",")):
        raise DatabaseUrlError(
            "connection argument host must not list hosts with ports: write host=a:1&host=b:2"
        )
    if "," in numbers and numbers.count(",") != names.count(","):
        raise DatabaseUrlError("connection argument port must have one port, or one for each host")
    return {
        **arguments,
        **({"host": names} if hosts else {}),
        **({"port": numbers} if ports else {}),
    }


def _as_list(values: str | tuple[str, ...]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _psycopg_pool(options: Options, timeout: int) -> dict[str, Any]:
    limit = take_pool_limit(options)
    wait = take_pool_timeout(options, timeout)
    if limit is None:
        return {}
    recycle = take_pool_recycle(options)
    lifetime = {} if recycle is None else {"max_lifetime": recycle}
    pool = {
        "min_size": 0,
        "max_size": limit,
        "timeout": wait,
        # The pool's pauses grow; without a limit it would notice late that the server is back.
        "reconnect_timeout": timeout,
        **lifetime,
    }
    return {"pool": pool}


def without_time_limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    return without_options(entry, "read_timeout")
