"""A stand-in for the Dockerfile's base image, for machines that reach no image registry.

The Debian of this machine, as small as debootstrap makes it, with a Python of this machine
in /usr/local, and what lets pip work here while an image is being built.
"""

from __future__ import annotations

import configparser
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

NAME = "python:3.12-slim-bookworm"
# What the Python of the real base image is linked with.
LIBRARIES = "ca-certificates,libbz2-1.0,libffi8,liblzma5,libncursesw6,libsqlite3-0,libssl3,zlib1g"
DEBIANS_PYTHON = "python3,python3-pip,python3-venv"
NOT_COPIED = ("test", "idlelib", "lib2to3", "config-*", "site-packages")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def output(*command: str, timeout: float = 60) -> str:
    """What the command prints; its complaint is shown where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def make(folder: Path) -> None:
    """Make the stand-in in buildah's storage, which its environment variables name."""
    container = output("buildah", "from", "scratch")
    root = Path(output("buildah", "mount", container))
    prefix = python_prefix()
    packages = LIBRARIES if prefix else f"{LIBRARIES},{DEBIANS_PYTHON}"
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    log = folder / "debootstrap.log"
    with log.open("wb") as lines:
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", release, root, mirror()],
            stdout=lines,
            stderr=lines,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, log.read_text()
    shutil.rmtree(root / "var/cache/apt/archives")
    local = root / "usr/local"
    if prefix:
        copy_python(prefix, local)
        output("chroot", str(root), "ldconfig")
    else:
        (local / "bin/python").symlink_to("/usr/bin/python3")
    output("buildah", "config", f"--env=PATH=/usr/local/bin:{os.defpath.lstrip(':')}", container)
    output("buildah", "commit", "--quiet", "--rm", container, NAME, timeout=120)


def mirror() -> str:
    """Where this machine's apt has Debian from."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    wanted = [f"Release: {release}", "Component: main", "Created-By: Packages"]
    return output("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()[0]


def python_prefix() -> Path | None:
    """A Python beside the one of the tests, 3.12 before 3.11; none where that is Debian's."""
    ours = Path(sys.base_prefix)
    if ours == Path("/usr"):
        return None
    others = [path for path in ours.parent.glob("3.12*") if (path / "bin/python3.12").is_file()]
    return max(others, default=ours)


def copy_python(prefix: Path, local: Path) -> None:
    (library,) = (prefix / "lib").glob("python3.1?")
    packages = Path("lib", library.name, "site-packages")
    without = shutil.ignore_patterns(*NOT_COPIED)
    copy(prefix / "bin", local / "bin")
    copy(library, local / "lib" / library.name, without)
    for pip in (prefix / packages).glob("pip*"):
        copy(pip, local / packages / pip.name)
    for shared in (prefix / "lib").glob("libpython*"):
        shutil.copy2(shared, local / "lib", follow_symlinks=False)


def copy(source: Path, target: Path, ignore: Any = None) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)


def volumes_for_pip(folder: Path) -> list[str]:
    """Volumes for the build: this machine's settings of pip, and the files that they name."""
    listed = output(sys.executable, "-m", "pip", "config", "list")
    # The environment's come first in the list, and win.
    found = re.findall(r"^(?::env:|global)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    settings = dict(reversed(found))
    if CERTIFICATES.exists():
        settings.setdefault("cert", str(CERTIFICATES))
    file = configparser.ConfigParser(interpolation=None)
    file["global"] = {name: value.replace("\\n", "\n") for name, value in settings.items()}
    with (folder / "pip.conf").open("w") as written:
        file.write(written)
    paths = re.findall(r"(?:^|file://|\s)(/[^\s]+)", "\n".join(settings.values()))
    there = {path.removesuffix("/simple") for path in paths if Path(path).exists()}
    return [f"{folder}/pip.conf:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in sorted(there))]
