"""A MariaDB server of our own, from the programs of Debian's package mariadb-server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Self

import pymysql

from testing.processes import free_port
from testing.servers import wait_until_it_answers


class MariaDb:
    """A server on loopback, on a port and in a folder of its own; `root` needs no password.

    `options` are those of the server's command line, without their dashes.
    """

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="convstore-mariadb-"))
        self.port = free_port()
        self.options = options
        self.user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str = "mysql") -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.own_folder()
        self.install()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    def own_folder(self) -> None:
        """Give the folder to the user that the server runs as."""
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)

    def install(self) -> None:
        """Make the server's own tables."""
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={self.folder / 'data'}",
                f"--tmpdir={self.folder}",
                *([f"--user={self.user}"] if self.user else []),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def start(self, *more: str) -> None:
        """Start the server, with `more` options for this time only."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    mariadbd() or "mariadbd",
                    "--no-defaults",
                    f"--datadir={self.folder / 'data'}",
                    # One that starts clears this of temporary tables, another server's too.
                    f"--tmpdir={self.folder}",
                    f"--socket={self.folder / 'socket'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--max-connections=200",
                    *([f"--user={self.user}"] if self.user else []),
                    *(f"--{option}" for option in (*self.options, *more)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until_it_answers(
            self.process, lambda: self.execute("SELECT 1"), pymysql.MySQLError, self.folder / "log"
        )

    def restore(self, copy_back: Callable[[], object]) -> None:
        """Start anew with the files that `copy_back` puts into its empty data folder."""
        self.stop()
        shutil.rmtree(self.folder / "data")
        copy_back()
        if self.user:
            subprocess.run(["chown", "--recursive", self.user, self.folder / "data"], check=True)
        self.start()

    def stop(self) -> None:
        if self.process.poll() is not None:
            log = (self.folder / "log").read_text()
            raise AssertionError(f"MariaDB ended by itself ({self.process.returncode}):\n{log}")
        self.process.terminate()
        self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement as root, past every line of ours; its rows."""
        connection = pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def mariadbd() -> str | None:
    """The path of the server's program; None where there is none."""
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
