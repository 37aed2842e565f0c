"""Processes of a service in a checkout of their own, and ports that nobody else is given."""

from __future__ import annotations

import compileall
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

import psutil
import requests

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "api_keys",
    "conversations_api",
    "convstore",
    "inspection",
    "memory_api",
    "mlserver_bridge",
)
# The memory that is served where no other is.
SHIPPED_MODELS = ROOT / "memory_api" / "default_models"
# On a machine with thirty busy programs, either took 60 seconds.
START_SECONDS = 120
# Longer than the 30 after which gunicorn kills a worker: one that was just begun misses a SIGTERM.
STOP_SECONDS = 120


def checkout(folder: Path) -> Path:
    """A copy of this project's files in `folder`, with this one's virtual environments."""
    ours = shutil.ignore_patterns(".*", "build", "data", "dist", "tests")

    def ignored(directory: str, names: list[str]) -> set[str]:
        return set(ours(directory, names)) if Path(directory) == ROOT else set()

    compile_packages()
    shutil.copytree(ROOT, folder, ignore=ignored)
    for environment in (".venv", ".venv-mlserver"):
        (folder / environment).symlink_to(ROOT / environment)
    return folder


@cache
def compile_packages() -> None:
    """Compile our modules once for all checkouts: it takes as long as a start of the service."""
    for package in PACKAGES:
        compileall.compile_dir(ROOT / package, quiet=2)


# Below those that a system gives to whoever connects, which nothing here could hold.
PORTS = range(12_000, 32_000)
HELD = Path(tempfile.gettempdir()) / f"convstore-ports-{os.getuid()}"


def free_port() -> int:
    """A port that nobody listens on. Until this process ends, no other call is given it.

    Processes that run side by side, such as pytest's workers, hold what they were given by
    a lock on a file, since a port is given before somebody listens on it.
    """
    HELD.mkdir(exist_ok=True)
    while True:
        port = secrets.choice(PORTS)
        lock = os.open(HELD / str(port), os.O_CREAT | os.O_WRONLY)  # open until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
        else:
            return port


def in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def process_group(group: int) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in psutil.pids() if in_group(pid, group)]


def inherited_environment() -> dict[str, str]:
    """This process's, without what `make test` tells a `make` that it calls: it would log more."""
    ours = {"MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKE_TERMOUT", "MAKE_TERMERR"}
    return {name: value for name, value in os.environ.items() if name not in ours}


class Process:
    """`make` with `target` in a checkout under `folder`, on a free port; stopped at the end."""

    target: str
    ready = "/v2/health/live"

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder / "checkout"
        self.log = folder / "log"
        self.port = free_port()
        self.environment = {**environment, "PORT": str(self.port)}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        if not self.folder.exists():
            checkout(self.folder)
        self.start(["make", self.target], self.folder)
        return self

    def start(self, command: Sequence[str | Path], folder: Path) -> None:
        """Run a command in `folder`, in a process group of its own, until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**inherited_environment(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()

    def __exit__(self, *error: object) -> None:
        group = process_group(self.process.pid)
        self.signal(signal.SIGTERM)
        self.process.wait(timeout=STOP_SECONDS)
        # make is gone before the server is, which still has to let go of its database.
        _, left = psutil.wait_procs(group, timeout=STOP_SECONDS)
        assert not left

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to make, the server and its workers, all of them started here."""
        os.killpg(self.process.pid, number)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                requests.get(self.url + self.ready, timeout=5).raise_for_status()
            except requests.RequestException:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"make {self.target} did not start:\n{self.log.read_text()}")
