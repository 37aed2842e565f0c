"""HAProxy, from Debian's package, in front of database servers; this one is for PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg

from testing.processes import free_port
from testing.servers import wait_until_it_answers


class HaProxy:
    """A proxy on loopback, with the configuration of the docs but for `changes`."""

    def __init__(self, configuration: str, listens: str, changes: Mapping[str, str]) -> None:
        """`listens` is the address in the configuration that becomes a free port of ours."""
        self.folder = Path(tempfile.mkdtemp(prefix="convstore-haproxy-"))
        self.port = free_port()
        for theirs, ours in {listens: f"127.0.0.1:{self.port}", **changes}.items():
            assert theirs in configuration
            configuration = configuration.replace(theirs, ours)
        (self.folder / "settings").write_text(configuration)

    def url(self, database: str) -> str:
        return f"postgresql://admin@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [haproxy() or "haproxy", "-db", "-f", str(self.folder / "settings")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait_until_it_answers()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder)

    def wait_until_it_answers(self) -> None:
        wait_until_it_answers(
            self.process, self._find_the_primary, psycopg.OperationalError, self.folder / "log"
        )

    def _find_the_primary(self) -> None:
        """Until HAProxy has asked them, it takes every server for one that takes writes."""
        for _ in range(4):  # it takes turns
            with psycopg.connect(self.url("postgres")) as connection:
                if connection.execute("SHOW transaction_read_only").fetchone() != ("off",):
                    raise psycopg.OperationalError("a standby answered")


def haproxy() -> str | None:
    """The path of the program; None where there is none."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
