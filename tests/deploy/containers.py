"""Containers of a built image: a read-only root, the image's user, and no rights.

What `docker run --read-only --cap-drop ALL --security-opt no-new-privileges` does, out of
util-linux, for machines where no container engine can start anything.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import requests

from testing.processes import START_SECONDS, STOP_SECONDS, free_port
from tests.deploy.base_image import output

# $1 is the root; /tmp, /proc and /dev are the container's own.
MOUNTS = """
set -eu
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
"""
NO_RIGHTS = "--clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
# Asked for once more after the change of user, with which the kernel forgets unshare's wish.
DIES_WITH_ITS_PARENT = "--pdeathsig=KILL"


@dataclass(frozen=True)
class Image:
    """A built image, its files laid out in `root`, and what its Dockerfile says of it."""

    root: Path
    config: Mapping[str, Any]

    @classmethod
    def named(cls, name: str) -> Image:
        inspected = json.loads(output("buildah", "inspect", "--type=image", name))
        container = output("buildah", "from", "--pull-never", name, timeout=120)
        return cls(Path(output("buildah", "mount", container)), inspected["Docker"]["config"])

    def command(
        self, arguments: list[str], volumes: Mapping[str, Path], environment: Mapping[str, str]
    ) -> list[str]:
        """What runs `arguments`, or else the image's own command, in a container.

        A volume is a place in the container, and the folder that is to be there.
        """
        mounts = MOUNTS
        for place, folder in volumes.items():
            (self.root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            mounts += f'mount --bind {shlex.quote(str(folder))} "$1{place}"\n'
        user, _, group = self.config["User"].partition(":")
        variables = [f"{name}={value}" for name, value in environment.items()]
        inside = [
            *("setpriv", f"--reuid={user}", f"--regid={group}", *NO_RIGHTS.split()),
            DIES_WITH_ITS_PARENT,
            *("env", "-i", f"--chdir={self.config['WorkingDir']}"),
            *(*self.config["Env"], *variables),
            *(arguments or self.config["Cmd"]),
        ]
        script = f'{mounts}exec chroot "$1" {shlex.join(inside)}'
        outside = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*outside, "sh", "-c", script, "sh", str(self.root)]

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] = MappingProxyType({}),
        volumes: Mapping[str, Path] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own, to its end."""
        command = self.command(list(arguments), volumes, environment)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def is_healthy(self, **environment: str) -> bool:
        """What the image's HEALTHCHECK says of a container with that environment."""
        kind, *test = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*test, environment=environment).returncode == 0


class Container:
    """A container that serves on a free port of loopback, stopped at the end.

    The arguments are those that would follow the image's name at `docker run`.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        *arguments: str,
        volumes: Mapping[str, Path],
        **environment: str,
    ) -> None:
        self.image = image
        self.log = folder / "log"
        self.port = free_port()
        is_mlserver = "mlserver" in arguments or "MLSERVER_MODELS_DIR" in environment
        self.environment = {**environment, **(self._mlserver() if is_mlserver else self._http())}
        self.command = image.command(list(arguments), volumes, self.environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _http(self) -> dict[str, str]:
        return {"HOST": "127.0.0.1", "PORT": str(self.port)}

    def _mlserver(self) -> dict[str, str]:
        return {
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(self.port),
            "MLSERVER_GRPC_PORT": str(free_port()),
            "MLSERVER_METRICS_PORT": str(free_port()),
        }

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.outer = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Ask the container's first process to end, as an engine does; its exit status."""
        outer = self.outer.pid
        try:
            if self.is_running:
                first = Path(f"/proc/{outer}/task/{outer}/children").read_text()
                os.kill(int(first), signal.SIGTERM)
            return self.outer.wait(timeout=STOP_SECONDS)
        finally:
            self.outer.kill()  # and with it whatever is left in the container

    @property
    def is_running(self) -> bool:
        return self.outer.poll() is None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.is_running:
            try:
                requests.get(f"{self.url}/v2/health/ready", timeout=5).raise_for_status()
            except requests.RequestException:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"the container does not serve:\n{self.log.read_text()}")


def can_be_started() -> bool:
    """Whether this process may mount anything: it is root, and not confined itself."""
    return subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode == 0


def data_folder(folder: Path) -> Path:
    """A new volume that belongs to the image's user, as docker would make it."""
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    return folder
