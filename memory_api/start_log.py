"""What an operator reads as the service starts: memories, databases, doors, and who may come in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error, connections

from api_keys.doors import CONVERSATIONS, HTTP, MLSERVER, open_doors
from convstore import __version__, tracing
from convstore.client_address import is_loopback
from convstore.database.vendors import describe_database
from convstore.windows import ALL
from memory_api.errors import SettingsError
from memory_api.memories import conversations_memory
from memory_api.memory import Memory, UnavailableMemory
from memory_api.model_repository import read_repository

# What a door may ask a key for, and what it never does.
ASKED = {
    HTTP: ("V2", "health, readiness, /metrics and /v2/docs"),
    MLSERVER: ("Inference by MLServer", "load, unload, metadata, health and metrics"),
}

logger = logging.getLogger(__name__)


def say(line: str, stream: TextIO) -> None:
    """Write a line to the stream; where the log is JSON, into the log."""
    if settings.REQUEST_LOG == "json":
        logger.info("%s", line.strip())
    else:
        stream.write(f"{line}\n")
        stream.flush()


def start_lines(addresses: Iterable[Any], urls: str) -> Iterator[str]:
    """`addresses` are those that the server listens on, and `urls` how people write them."""
    yield f"Memories from {settings.MODELS_DIR} (convstore {__version__})"
    entries: Sequence[Memory | UnavailableMemory] = ()
    try:
        # Not `repository()`, which keeps what it read: a worker that starts later reads anew.
        entries = read_repository(settings.MODELS_DIR).entries
    except SettingsError as error:
        yield f"  {error}"
    else:
        yield from (f"  {describe_memory(entry)}" for entry in entries)
    prefix = settings.FORCE_SCRIPT_NAME or ""
    yield f"Serving on {urls} - docs at {prefix}/v2/docs, admin at {prefix}/admin/ (Ctrl-C stops)"
    for address in addresses:
        yield f"  {who_may_come(address)}"
    yield f"  {what_is_asked()}"
    yield f"  {describe_conversations_api(entries)}"


def describe_memory(entry: Memory | UnavailableMemory) -> str:
    """A memory, its window and its database, without user and password."""
    name = entry.name if entry.version is None else f"{entry.name}, version {entry.version}"
    if isinstance(entry, UnavailableMemory):
        return f"{name}: unavailable"  # a worker logs why
    window = f"window of {entry.window_size} by {entry.window_unit}"
    if entry.window_tokens is not None:
        window += f", {entry.window_tokens} tokens at most"
    if entry.window_items == ALL:
        window += ", with all items"
    where = describe_database(entry.store.using)
    if entry.store.standby is not None:
        where += f", with the standby {describe_database(entry.store.standby)}"
    return f"{name}: {window}, in {where}"


def who_may_come(address: Any) -> str:
    """Who reaches an address that the server listens on: a host and a port, or a path."""
    if not isinstance(address, tuple):
        return f"{address} is open to processes of this machine that may write to the socket"
    host = str(address[0])
    where = "every address" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only compared
    if is_loopback(host):
        return f"{host} is open to this machine only"
    return f"{where} is open to whoever reaches this machine"


def what_is_asked(door: str = HTTP) -> str:
    what, others = ASKED[door]
    if door in open_doors():
        return f"{what} asks for no API key: whoever comes reads and extends every conversation"
    return f"{what} asks for an API key; {others} do not"


def trace_if_wanted() -> None:
    """Send spans from now on, if OpenTelemetry's variables say so; the log says where it cannot."""
    if not tracing.is_wanted():
        return
    if not tracing.is_installed():
        logger.warning(
            "traces are to be sent (OTEL_EXPORTER_OTLP_ENDPOINT), and OpenTelemetry's exporter is"
            " not installed: run pip install 'convstore[otel]', or set OTEL_SDK_DISABLED to true"
        )
        return
    tracing.start_tracing()


def describe_conversations_api(entries: Iterable[Memory | UnavailableMemory]) -> str:
    """What it serves, and to whom. It has no keys, and it can list and delete."""
    name = conversations_memory(entries)
    served = (
        f"memory {name} at /v1" if name else "no memory at /v1 (CONVERSATIONS_MEMORY names none)"
    )
    whom = "programs on this machine only"
    if settings.CONVERSATIONS_API == "open":
        whom = "whoever reaches the port, who may delete (CONVERSATIONS_API=open)"
    whom += "; once there is an API key, for those who have one"
    if CONVERSATIONS not in open_doors():
        whom = "those who have an API key"
    return f"Conversations API: {served}, others at /memories/<name>/v1, for {whom}"


def look_for_users() -> None:
    """Say how to make the first user if there is none; in a thread, as the database may be slow."""
    threading.Thread(target=_look_for_users, daemon=True).start()


def _look_for_users() -> None:
    try:
        if not get_user_model().objects.exists():
            logger.info("The admin has no user; make the first one: convstore createsuperuser")
    except Error:
        pass  # who cannot reach the database has been told
    finally:
        connections.close_all()
