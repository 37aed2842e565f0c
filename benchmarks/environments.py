"""The environments that stores run in: this project's, and others that are made on demand."""

from __future__ import annotations

import subprocess
from pathlib import Path

from testing.processes import ROOT

REQUIREMENTS = Path(__file__).parent / "requirements"


class Unavailable(Exception):
    """Something that this machine cannot measure, and why."""


def python_in(environment: str) -> Path:
    """The Python of one of this project's environments."""
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        raise Unavailable(f"{environment} is missing: `make bench` makes it")
    return python


def python_for(name: str) -> Path:
    """The Python of an environment that is made by pinned requirements."""
    folder, requirements = ROOT / f".venv-bench-{name}", REQUIREMENTS / f"{name}.txt"
    python, installed = folder / "bin" / "python", folder / "installed"
    wanted = requirements.read_text()
    if installed.exists() and installed.read_text() == wanted:
        return python
    print(f"Installing {name} into {folder.name} ...", flush=True)
    make = ["sh", str(ROOT / "scripts" / "make-venv"), str(folder), "3.12"]
    install = [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)]
    for command in (make, install):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"{name} cannot be installed: {done.stderr.strip()[-300:]}")
    installed.write_text(wanted)
    return python
