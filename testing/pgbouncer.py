"""pgbouncer, from Debian's package, in front of PostgreSQL or HAProxy."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg

from testing.haproxy import HaProxy
from testing.postgres import Postgres
from testing.processes import free_port
from testing.servers import wait_until_it_answers

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
server_login_retry = 1
"""


class PgBouncer:
    """A pooler on loopback; its clients share `size` connections to each database."""

    def __init__(
        self, server: Postgres | HaProxy, size: int = 2, mode: str = "transaction"
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="convstore-pgbouncer-"))
        self.port = free_port()
        names = {"folder": self.folder, "port": self.port, "size": size, "mode": mode}
        text = SETTINGS.format(server_port=server.port, **names)
        (self.folder / "settings").write_text(text)
        (self.folder / "users").write_text('"admin" ""\n')

    def url(self, database: str) -> str:
        return f"postgresql://admin@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        command = [pgbouncer() or "pgbouncer", str(self.folder / "settings")]
        if os.geteuid() == 0:  # as which it refuses to run
            owner = pwd.getpwnam("nobody")
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            command.append("--user=nobody")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until_it_answers(
            self.process,
            lambda: psycopg.connect(self.url("postgres")).close(),
            psycopg.OperationalError,
            self.folder / "log",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder)


def pgbouncer() -> str | None:
    """The path of the program; None where there is none."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
