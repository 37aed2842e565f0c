"""What `check --deploy` looks at besides: whom the doors are open to, and what nobody will know."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Info, Tags, register
from django.db import Error, connections

from convstore import tracing
from convstore.client_address import is_loopback
from convstore.database.vendors import vendor_for
from memory_api.errors import SettingsError
from memory_api.gunicorn import Server
from memory_api.memories import database_users
from memory_api.tables import lacks_migrations


@register(deploy=True)
def check_doors(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    server = Server().cfg
    hosts = [str(address[0]) for address in server.address if isinstance(address, tuple)]
    return list(_open_doors(server, [host for host in hosts if not is_loopback(host)]))


def _open_doors(server: Any, hosts: list[str]) -> Iterator[CheckMessage]:
    """What is open to others at these addresses, which more than this machine reaches."""
    if not hosts:
        return
    where = " and ".join(hosts)
    if not (server.is_ssl or settings.HTTPS == "true"):
        yield checks.Warning(
            f"The service listens on {where} without TLS: whoever sees the network reads messages"
            " and the admin's passwords.",
            hint="Put a proxy with TLS in front (docs/howto/nginx-tls.md), and set HTTPS to true.",
            id="memory_api.W010",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield checks.Warning(
            "ALLOWED_HOSTS is *: the service answers under every name, including a domain"
            " that somebody else points at it (DNS rebinding).",
            hint="Set ALLOWED_HOSTS to the names that clients, people and probes use.",
            id="memory_api.W011",
        )
    yield Info(
        f"/metrics at {where} is open to whoever reaches it: the names of memories, and figures.",
        hint="Let the proxy refuse it.",
        id="memory_api.I010",
    )


@register(deploy=True)
def check_log(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    is_on = settings.REQUEST_LOG != "off" and logging.getLevelName(settings.LOG_LEVEL) <= (
        logging.INFO
    )
    if not (is_on or Server().cfg.accesslog):
        messages.append(
            checks.Warning(
                "The log has no line for a request: nobody will know which one failed, or why.",
                hint="Set REQUEST_LOG to console or json, and LOG_LEVEL to INFO.",
                id="memory_api.W012",
            )
        )
    if tracing.is_wanted() and not tracing.is_installed():
        messages.append(
            checks.Warning(
                "Traces are to be sent, and OpenTelemetry's exporter is not installed: there are"
                " none.",
                hint="Run pip install 'convstore[otel]', or set OTEL_SDK_DISABLED to true.",
                id="memory_api.W015",
            )
        )
    for using, user in _database_users().items():
        if connections[using].settings_dict.get("ECHO"):
            messages.append(
                checks.Warning(
                    f"{user}: the option echo writes every statement into the log, with the"
                    " content of messages.",
                    hint="Remove echo from connection_options.",
                    id="memory_api.W013",
                )
            )
    return messages


@register(deploy=True)
def check_hosts(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    """What a second host would not share with this one."""
    messages: list[CheckMessage] = []
    for using, user in _database_users().items():
        if vendor_for(using).is_for_one_host:
            messages.append(
                Info(
                    f"{user}: its file is for one host. A second one would have conversations of"
                    " its own.",
                    hint="Run one replica, or use PostgreSQL.",
                    id="memory_api.I011",
                )
            )
    file = Path(settings.DATA_DIR) / "secret_key"
    if file.exists() and file.read_text() == settings.SECRET_KEY:
        messages.append(
            Info(
                f"The secret key is in {file}. A second host would make its own, and people would"
                " be signed out as they change between the two.",
                hint="Set SECRET_KEY where several hosts serve one admin.",
                id="memory_api.I012",
            )
        )
    return messages


@register(Tags.database, deploy=True)
def check_tables(
    app_configs: object = None, databases: Iterable[str] | None = None, **_: Any
) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for using, user in _database_users().items() if databases else ():
        try:
            if not lacks_migrations(using):
                continue
        except Error:  # which another check reports
            continue
        messages.append(
            checks.Warning(
                f"{user}: its tables are not those of this version.",
                hint="Run 'convstore migrate_memories'.",
                id="memory_api.W014",
            )
        )
    return messages


def _database_users() -> dict[str, str]:
    try:
        return database_users()
    except SettingsError:  # which another check reports
        return {}
