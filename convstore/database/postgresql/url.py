"""From a postgresql:// URL to a Django connection over psycopg."""

from __future__ import annotations

import re
from typing import Any

from psycopg import IsolationLevel
from psycopg.pq import Conninfo
from sqlalchemy.engine import URL

from convstore.database.options import (
    Unused,
    echo,
    entry,
    isolation,
    most_connections,
    must_name,
    one_connection_a_thread,
    pool_wait,
    replaced_after,
)
from convstore.errors import DatabaseUrlError

# What SQLAlchemy takes for a name and its port; an IPv6 address and a socket are neither.
HOST_AND_PORT = re.compile(r"([A-Za-z0-9.-]*):([0-9]*)")


def postgresql(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    arguments = _libpq_arguments(url, options)
    isolation(options, "READ COMMITTED")
    # libpq takes the user's name for the database's where none is named.
    database = url.database or arguments.pop("dbname", None)
    if not database and "service" not in arguments:
        must_name(database := url.username)
    return {
        **entry("convstore.database.postgresql", url, database),
        # As with SQLAlchemy, an argument comes before what the URL says in front of it.
        **{name: "" for name in ("HOST", "PORT", "USER", "PASSWORD") if name.lower() in arguments},
        "OPTIONS": {
            "connect_timeout": timeout,
            # The server gives up a lock first, so that we hear which of the two it was.
            "read_timeout": timeout + 1,
            # A server that vanished from the network while it worked, or while we sent.
            "keepalives_idle": timeout,
            "tcp_user_timeout": timeout * 1000,
            **arguments,
            # Windows get holes under any other, whatever the server's default is.
            "isolation_level": IsolationLevel.READ_COMMITTED,
            **(pool := _psycopg_pool(options, timeout)),
        },
        "DISABLE_SERVER_SIDE_CURSORS": True,  # they do not survive pgbouncer
        **(
            {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": options.take("pool_pre_ping", False, bool)}
            if pool
            else one_connection_a_thread(options, "PostgreSQL", checked=True)
        ),
        **echo(options),
    }


def _libpq_arguments(url: URL, options: Unused) -> dict[str, Any]:
    """The URL's arguments and `connect_args`, each of them one that libpq knows."""
    given = Unused(
        {**_hosts(url), **options.take("connect_args", {}, dict)}, "connection argument "
    )
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    Unused({n: v for n, v in given.items() if n not in known}, given.label).refuse_rest(
        "PostgreSQL"
    )
    given.only("client_encoding", "utf8", "UTF8", "utf-8", "UTF-8")
    arguments = {name: given.take(name, None, str, int, bool) for name in list(given)}
    for name, value in arguments.items():
        if "\0" in str(value):
            raise DatabaseUrlError(f"connection argument {name} has a NUL")
    return arguments


def _hosts(url: URL) -> dict[str, Any]:
    """The URL's arguments, several `host=name:port` among them in libpq's own form."""
    arguments: dict[str, Any] = dict(url.query)
    hosts, ports = (_several(arguments.pop(name, ())) for name in ("host", "port"))
    if any(HOST_AND_PORT.fullmatch(host) for host in hosts):
        if ports:
            raise DatabaseUrlError("connection argument port: the hosts have their own")
        split = [HOST_AND_PORT.fullmatch(host) for host in hosts]
        ports = [found[2] if found else "" for found in split]
        hosts = [found[1] if found else host for found, host in zip(split, hosts, strict=True)]
    names, numbers = ",".join(hosts), ",".join(ports)
    if not all(re.fullmatch(r"[0-9]{0,5}", port) for port in numbers.split(",")):
        raise DatabaseUrlError("connection argument port must be a number")
    if any(HOST_AND_PORT.fullmatch(host) for host in names.split(",")):
        raise DatabaseUrlError("connection argument host: write host=a:1&host=b:2")
    if "," in numbers and numbers.count(",") != names.count(","):
        raise DatabaseUrlError("connection argument port: there must be one for each host")
    return {
        **arguments,
        **({"host": names} if hosts else {}),
        **({"port": numbers} if ports else {}),
    }


def _several(values: str | tuple[str, ...]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _psycopg_pool(options: Unused, timeout: int) -> dict[str, Any]:
    limit = most_connections(options)
    wait = pool_wait(options, timeout)
    if limit is None:
        return {}
    recycle = replaced_after(options)
    lifetime = {} if recycle is None else {"max_lifetime": recycle}
    pool = {
        "min_size": 0,
        "max_size": limit,
        "timeout": wait,
        # Or the pool, its pauses ever longer, would notice late that the server is back.
        "reconnect_timeout": timeout,
        **lifetime,
    }
    return {"pool": pool}
