"""The service as a process, started the way the README says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psutil
import requests

ROOT = Path(__file__).parent.parent
# The memory that is served where no other is.
SHIPPED_MODELS = ROOT / "memory_api" / "default_models"
START_SECONDS = 60

TENSORS = ["role", "content", "type"]
TOOLS = [*TENSORS, "tool_calls", "tool_call_id"]
# Nothing listens there: port 1 is the lowest that there is.
NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nothing"

# name -> (version, config); without a URL a memory keeps to DATABASE_URL.
MEMORIES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "memory": (None, {"window_size": 50, "tensor_names": TENSORS}),
    "default": (None, {}),
    "four": (None, {"window_size": 4}),
    "two": (None, {"window_size": 2}),
    "one": (None, {"window_size": 1}),
    "tools": (None, {"window_size": 50, "tensor_names": [*TOOLS, "name"]}),
    "contents": (None, {"tensor_names": ["content"]}),
    "versioned": ("3", {}),
    "once": (None, {"idempotency": "request_id"}),
    "once_1": ("1", {"idempotency": "request_id"}),
    "other": (None, {"idempotency": "request_id"}),
    "down": (None, {"url": NOWHERE}),
}


def write_memories(folder: Path) -> None:
    """A folder of model-settings.json files, one for each of MEMORIES."""
    for name, (version, config) in MEMORIES.items():
        write_memory(folder, name, {"database": "sql", "config": config}, version)


def write_memory(
    folder: Path, name: str, extra: dict[str, Any], version: str | None = None
) -> None:
    document = {
        "name": name,
        "implementation": "mlserver_memory.ConversationalMemory",
        "parameters": {"version": version, "extra": extra},
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "model-settings.json").write_text(json.dumps(document))


def checkout(folder: Path) -> Path:
    """A copy of this project's files in `folder`, with this one's virtual environments."""
    ours = shutil.ignore_patterns(".*", "build", "data", "dist", "tests")

    def ignored(directory: str, names: list[str]) -> set[str]:
        return set(ours(directory, names)) if Path(directory) == ROOT else {"__pycache__"}

    shutil.copytree(ROOT, folder, ignore=ignored)
    for environment in (".venv", ".venv-mlserver"):
        (folder / environment).symlink_to(ROOT / environment)
    return folder


_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that was not given to somebody who is about to."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


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
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()

    def __exit__(self, *error: object) -> None:
        group = [psutil.Process(pid) for pid in psutil.pids() if in_group(pid, self.process.pid)]
        self.signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        # make is gone before the server is, which still has to let go of its database.
        _, left = psutil.wait_procs(group, timeout=30)
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


class Service(Process):
    """The HTTP door: gunicorn, by `make serve`."""

    target = "serve"
