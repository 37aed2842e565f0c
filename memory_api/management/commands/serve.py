"""`convstore serve`: migrate the tables of every database, then serve with gunicorn."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from memory_api.errors import SettingsError
from memory_api.gunicorn import METRICS_PREFIX, Server
from memory_api.management.commands.migrate_memories import MUST_NOT_SERVE
from memory_api.memories import database_users
from memory_api.metric_files import METRICS_FOLDER, share_metrics
from memory_api.start_log import say
from memory_api.tables import UnsafeDatabase, refuse_unsafe


class Command(BaseCommand):
    help = "Make or migrate the tables of every database, then serve with gunicorn."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--no-migrate",
            action="store_true",
            help="Serve without making or migrating tables: 'convstore migrate_memories' does.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        server = Server()
        require_free_ports(server)
        work = refuse_unsafe_databases if options["no_migrate"] else migrate_memories
        with metrics_folder(), run_beside(work):
            share_metrics()
            if server.cfg.preload_app:
                import_module("convstore.wsgi")
        server.run()


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Name a new folder for metrics unless there is one. If the start fails, remove it."""
    if METRICS_FOLDER in os.environ:
        yield
        return
    folder = os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix=METRICS_PREFIX)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def run_beside(work: Callable[[], None]) -> Iterator[None]:
    """Run `work` in another process during the `with` block, whose end waits for it. Workers must
    inherit no connection. If it fails, exit with its status."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    try:
        yield
    finally:
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


def migrate_memories() -> None:
    try:
        call_command("migrate_memories")
    except ImproperlyConfigured as error:  # such as a driver that is missing
        sys.exit(str(error))
    except CommandError as error:
        if error.returncode == MUST_NOT_SERVE:
            sys.stderr.write(f"CommandError: {error}\n")
            sys.exit(MUST_NOT_SERVE)
        for line in str(error).splitlines():
            say(line, sys.stderr)
        say("The service answers 503 until 'convstore migrate_memories' succeeds.", sys.stderr)


def refuse_unsafe_databases() -> None:
    """End the process if a database would lose messages or change them."""
    try:
        users = database_users()
    except SettingsError:  # the workers report it
        return
    for using, user in users.items():
        try:
            refuse_unsafe(using)
        except UnsafeDatabase as error:
            sys.stderr.write(f"CommandError: {user}: {error}\n")
            sys.exit(MUST_NOT_SERVE)


def require_free_ports(server: Server) -> None:
    """Raise CommandError if gunicorn could not listen, before anything else is done.

    It skips sockets that gunicorn inherits or shares.
    """
    if {"GUNICORN_FD", "LISTEN_FDS"} & os.environ.keys() or server.cfg.reuse_port:
        return
    for address in server.cfg.address:
        if isinstance(address, tuple):
            require_free_port(*address)


def require_free_port(host: str, port: int) -> None:
    is_from_settings = (host, port) == (settings.HOST.lower(), settings.PORT)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        *_, address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0]
    except OSError:
        variable = "HOST" if is_from_settings else "GUNICORN_CMD_ARGS: bind"
        raise CommandError(f"{variable} {host!r} is not an address of this machine.") from None
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            hint = (
                "for example PORT=8081" if is_from_settings else "this one is in GUNICORN_CMD_ARGS"
            )
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error.strerror}): choose another port, {hint}."
            ) from None
