"""From an oracle:// URL to a Django connection over python-oracledb."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    take_pool_limit,
    take_pool_recycle,
    take_pool_timeout,
)
from convstore.database.parsed_url import ParsedUrl
from convstore.errors import DatabaseUrlError

# Arguments of python-oracledb in its thin mode.
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


# A host, port or service in a connect descriptor.
DESCRIPTOR_FIELD = re.compile(r"\((HOST|PORT|SERVICE_NAME)=([^()]*)\)")
# What says how to connect, but not to which database.
NON_IDENTIFYING_OPTIONS = frozenset({"pool", "tcp_connect_timeout"})
prepare = do_nothing


def database_settings(url: ParsedUrl, options: Options, timeout: int) -> dict[str, Any]:
    require_driver("oracledb", "oracledb")
    take_isolation_level(options, "READ COMMITTED")
    arguments = take_driver_arguments(url, options)
    service = arguments.take("service_name", None, str)
    dsn = arguments.take("dsn", None, str)
    for name in ("encoding", "nencoding"):
        arguments.take_one_of(name, "UTF-8", "utf8", "utf-8", "UTF8")
    arguments.take_one_of("threaded", True, "true", "True")
    given = arguments.take_present(ORACLEDB)
    arguments.refuse_rest("Oracle")
    return {
        **base_entry("convstore.database.oracle", url, url.database),
        **_oracle_address(url, service, dsn),
        "CALL_TIMEOUT": (timeout + 1) * 1000,  # milliseconds that a statement may take
        "OPTIONS": {
            "tcp_connect_timeout": float(timeout),
            **given,
            **(pool := _oracle_pool(options, timeout)),
        },
        **({"CONN_MAX_AGE": 0} if pool else connection_per_thread(options, "Oracle", checked=True)),
        **take_echo(options),
    }


def _oracle_address(url: ParsedUrl, service: str | None, dsn: str | None) -> dict[str, str]:
    """The address: host and port for a SID, a connect string in NAME for everything else."""
    alias = None if url.database or service else url.host
    if sum(map(bool, (url.database, service, dsn, alias))) != 1 or (alias and url.port):
        raise DatabaseUrlError(
            "an Oracle URL must name exactly one of a SID, a service_name, a dsn or a TNS alias"
        )
    if url.database:
        return {"HOST": url.host or "localhost", "PORT": str(url.port or 1521)}
    if service:
        return {"NAME": _descriptor(url, service), "HOST": "", "PORT": ""}
    return {"NAME": dsn or alias or "", "HOST": "", "PORT": ""}


def _descriptor(url: ParsedUrl, service: str) -> str:
    """A connect descriptor; Easy Connect does not allow $ or # in the name of a service."""
    import oracledb

    try:
        return oracledb.makedsn(url.host or "localhost", url.port or 1521, service_name=service)
    except oracledb.Error:
        raise DatabaseUrlError(
            "connection argument service_name is not a valid service name"
        ) from None


def _oracle_pool(options: Options, timeout: int) -> dict[str, Any]:
    import oracledb

    limit = take_pool_limit(options)
    wait = take_pool_timeout(options, timeout)
    if limit is None:
        return {}
    recycle = take_pool_recycle(options)
    # After how many idle seconds the pool tests a connection; -1 is never.
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


def location(entry: Mapping[str, Any]) -> str:
    if fields := dict(DESCRIPTOR_FIELD.findall(str(entry["NAME"]))):
        return f"{fields.get('SERVICE_NAME', '')} on {fields.get('HOST')}:{fields.get('PORT')}"
    return server_location(entry)


def without_time_limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "CALL_TIMEOUT": 0}
