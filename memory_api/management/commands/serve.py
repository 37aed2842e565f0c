"""Everything between an installation and a service: tables, then gunicorn."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Prepare the databases, then serve with gunicorn."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        host = os.environ.setdefault("HOST", "127.0.0.1")
        port = os.environ.setdefault("PORT", "8080")
        self.refuse_taken(host, port)
        try:
            call_command("migrate_memories")
        except CommandError as error:
            if error.returncode == 2:  # the memories' settings are wrong
                raise
            self.stderr.write(
                f"{error}\nIt answers 503 until 'manage.py migrate_memories' succeeds."
            )
        self.stdout.write(
            f"Serving on http://{host}:{port} - docs at /v2/docs, admin at /admin/ (Ctrl-C stops)"
        )
        self.stdout.flush()
        gunicorn = [sys.executable, "-m", "gunicorn", "convstore.wsgi"]
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, gunicorn)  # noqa: S606 - no shell wanted

    def refuse_taken(self, host: str, port: str) -> None:
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise CommandError(f"PORT is {port!r}; it must be a number from 1 to 65535.")
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                host, int(port), type=socket.SOCK_STREAM
            )[0]
        except OSError:
            raise CommandError(f"HOST {host!r} is not an address of this machine.") from None
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise CommandError(
                    f"Cannot listen on {host}:{port} ({error.strerror}): choose another port,"
                    " for example PORT=8081 make serve."
                ) from None
