"""The package as people install it: built, and put into an environment that is empty."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from testing.processes import ROOT, Process, checkout


def completed(
    command: Sequence[str | Path], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end, with no variable of ours but those given."""
    ours = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@dataclass(frozen=True)
class Installation:
    """A virtual environment into which the wheel was installed."""

    wheel: Path
    environment: Path

    @classmethod
    def make(cls, folder: Path, *, alone: bool = True) -> Self:
        """Build the wheel by `make wheel` in a checkout, and install it with what it needs.

        Where it is not to be `alone`, what it needs is that of this environment, which is
        there at once.
        """
        project = checkout(folder / "checkout")
        done = completed(["make", "wheel"], project)
        assert done.returncode == 0, done.stderr
        (wheel,) = (project / "dist").iterdir()
        installation = cls(wheel, folder / "environment")
        installation.install(wheel, *([] if alone else ["--no-deps"]))
        if not alone:
            (packages,) = installation.environment.glob("lib/python*/site-packages")
            (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return installation

    def with_extra(self, extra: str, folder: Path) -> Self:
        """The same wheel in another environment, with one of its extras."""
        installation = replace(self, environment=folder / "environment")
        installation.install(f"{self.wheel}[{extra}]")
        return installation

    def install(self, what: Path | str, *options: str) -> None:
        """Make the environment, and install into it what a `pip install` names."""
        # The versions that everything else is tested with.
        pins = f"--constraint={ROOT / 'requirements.txt'}"
        for command in (
            ["venv", "--without-pip", self.environment],
            [
                *("pip", "--python", self.python),
                *("install", "--quiet", pins, *options, what),
            ],
        ):
            done = completed([sys.executable, "-m", *command], self.environment.parent)
            assert done.returncode == 0, done.stderr

    @property
    def convstore(self) -> Path:
        """The command."""
        return self.environment / "bin" / "convstore"

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    def run(
        self, *arguments: str, folder: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command `convstore` in `folder` to its end."""
        return completed([self.convstore, *arguments], folder, **environment)

    def files(self) -> dict[str, int]:
        """The files of the environment, and when each was written."""
        return {str(it): it.stat().st_mtime_ns for it in self.environment.rglob("*")}


class Served(Process):
    """`convstore serve` in the folder `empty`, which is made where it is not there yet."""

    target = "serve"

    def __init__(self, installation: Installation, folder: Path, **environment: str) -> None:
        super().__init__(folder, **environment)
        self.installation = installation
        self.folder = folder / "empty"

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self.start([self.installation.convstore, "serve"], self.folder)
        return self
