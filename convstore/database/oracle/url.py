"""From an oracle:// URL to a Django connection over python-oracledb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL

from convstore.database.options import (
    Unused,
    driver_arguments,
    echo,
    entry,
    isolation,
    most_connections,
    need,
    one_connection_a_thread,
    pool_wait,
    replaced_after,
)
from convstore.errors import DatabaseUrlError

# What python-oracledb takes in its thin mode beside the address.
ORACLEDB: Mapping[str, type] = {
    "config_dir": str,
    "edition": str,
    "expire_time": int,
    "https_proxy": str,
    "https_proxy_port": int,
    "program": str,
    "retry_count": int,
    "retry_delay": int,
    "sdu": int,
    "ssl_server_cert_dn": str,
    "ssl_server_dn_match": bool,
    "stmtcachesize": int,
    "tcp_connect_timeout": float,
    "wallet_location": str,
    "wallet_password": str,
}


def oracle(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    need("oracle", "oracledb")
    isolation(options, "READ COMMITTED")
    arguments = driver_arguments(url, options)
    service = arguments.take("service_name", None, str)
    dsn = arguments.take("dsn", None, str)
    for name in ("encoding", "nencoding"):
        arguments.only(name, "UTF-8", "utf8", "utf-8", "UTF8")
    arguments.only("threaded", True, "true", "True")
    given = arguments.take_all(ORACLEDB)
    arguments.refuse_rest("Oracle")
    return {
        **entry("convstore.database.oracle", url, url.database),
        **_oracle_address(url, service, dsn),
        "CALL_TIMEOUT": (timeout + 1) * 1000,  # milliseconds that a statement may take
        "OPTIONS": {
            "tcp_connect_timeout": float(timeout),
            **given,
            **(pool := _oracle_pool(options, timeout)),
        },
        **(
            {"CONN_MAX_AGE": 0}
            if pool
            else one_connection_a_thread(options, "Oracle", checked=True)
        ),
        **echo(options),
    }


def _oracle_address(url: URL, service: str | None, dsn: str | None) -> dict[str, str]:
    """Where the database is: a SID by host and port, all else by a connect string in NAME."""
    alias = None if url.database or service else url.host
    if sum(map(bool, (url.database, service, dsn, alias))) != 1 or (alias and url.port):
        raise DatabaseUrlError(
            "an Oracle URL names a SID, a service_name, a dsn or a TNS alias, one of them"
        )
    if url.database:
        return {"HOST": url.host or "localhost", "PORT": str(url.port or 1521)}
    if service:
        return {"NAME": _descriptor(url, service), "HOST": "", "PORT": ""}
    return {"NAME": dsn or alias or "", "HOST": "", "PORT": ""}


def _descriptor(url: URL, service: str) -> str:
    """Not Easy Connect, which knows no $ or # in a service's name."""
    import oracledb

    try:
        return oracledb.makedsn(url.host or "localhost", url.port or 1521, service_name=service)
    except oracledb.Error:
        raise DatabaseUrlError("connection argument service_name names no service") from None


def _oracle_pool(options: Unused, timeout: int) -> dict[str, Any]:
    import oracledb

    limit = most_connections(options)
    wait = pool_wait(options, timeout)
    if limit is None:
        return {}
    recycle = replaced_after(options)
    # The seconds of idleness after which the pool looks whether a connection lives.
    pings = {True: {"ping_interval": 0}, False: {"ping_interval": -1}, None: {}}
    return {
        "pool": {
            "min": 0,
            "max": limit,
            "getmode": oracledb.POOL_GETMODE_TIMEDWAIT,
            "wait_timeout": int(wait * 1000),
            **({} if recycle is None else {"max_lifetime_session": recycle}),
            **pings[options.take("pool_pre_ping", None, bool)],
        }
    }
