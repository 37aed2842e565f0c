"""From a postgresql:// URL to a Django connection over psycopg."""

from __future__ import annotations

from typing import Any

from psycopg import IsolationLevel, ProgrammingError
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from convstore.errors import DatabaseUrlError
from convstore.vendors.options import (
    Unused,
    echo,
    entry,
    isolation,
    most_connections,
    must_name,
    one_connection_a_thread,
    replaced_after,
)


def postgresql(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    arguments = {**_hosts(url), **options.take("connect_args", {}, dict)}
    try:
        make_conninfo("", **arguments)
    except ProgrammingError as error:
        raise DatabaseUrlError(f"PostgreSQL connection argument: {error}") from None
    isolation(options, "READ COMMITTED")
    # libpq takes the user's name for the database's where none is named.
    database = url.database or arguments.pop("dbname", None)
    if not database and "service" not in arguments:
        must_name(database := url.username)
    return {
        **entry("convstore.backends.postgresql", url, database),
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


def _hosts(url: URL) -> dict[str, Any]:
    """The URL's arguments, several `host=name:port` among them in libpq's own form."""
    arguments: dict[str, Any] = dict(url.query)
    hosts = arguments.get("host", ())
    hosts = (hosts,) if isinstance(hosts, str) else hosts
    ports = arguments.get("port", ())
    ports = (ports,) if isinstance(ports, str) else ports
    if len(hosts) > 1 or any(":" in host for host in hosts):
        split = [host.rpartition(":") if ":" in host else (host, "", "") for host in hosts]
        arguments["host"] = ",".join(name for name, _, _ in split)
        ports = ports or [port for _, _, port in split]
    if ports:
        arguments["port"] = ",".join(ports)
    return arguments


def _psycopg_pool(options: Unused, timeout: int) -> dict[str, Any]:
    limit = most_connections(options)
    wait = options.take("pool_timeout", timeout, int, float)
    if limit is None:
        return {}
    recycle = replaced_after(options)
    lifetime = {} if recycle is None else {"max_lifetime": recycle}
    return {"pool": {"min_size": 0, "max_size": limit, "timeout": wait, **lifetime}}
