"""A reader who does what a page says, block after block, in a folder that was empty.

Commands that serve go on in the background until the page ends. Addresses of the page are
replaced by those of the servers of the test, and by nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import requests

from testing.processes import STOP_SECONDS, checkout, free_port
from testing.service import file_with_tables
from tests.docs.pages import ROOT, Block

SECONDS = 120
SERVES = re.compile(r"(\w+=('[^']*'|\"[^\"]*\"|\S*) )*((make|convstore) serve|make mlserver)")
# What the page's own service is called on the page.
HERE = "localhost:8080"
# Runs one block after another in the same names, as somebody at a prompt does.
PROMPT = """
import contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            exec(json.loads(line), names)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), flush=True)
"""


class Reader:
    """`replaced` are addresses on the page and those of the test; `typed` goes to each command."""

    def __init__(
        self,
        folder: Path,
        replaced: Mapping[str, str] | None = None,
        path: str = "",
        typed: str = "",
    ) -> None:
        self.folder = folder / "here"
        self.log = folder / "log"
        self.port = free_port()
        self.replaced = {HERE: f"127.0.0.1:{self.port}", **(replaced or {})}
        self.typed = typed
        self.server: subprocess.Popen[bytes] | None = None
        self.prompt: subprocess.Popen[str] | None = None
        programs = folder / "bin"
        programs.mkdir()
        (programs / "convstore").write_text(f'#!/bin/sh\nexec {sys.executable} -m convstore "$@"\n')
        (programs / "convstore").chmod(0o755)
        paths = [str(programs), str(Path(sys.executable).parent), path, os.environ["PATH"]]
        self.environment = {
            "PATH": os.pathsep.join(filter(None, paths)),
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PORT": str(self.port),
        }

    def __enter__(self) -> Self:
        self.folder.mkdir()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self.prompt:
            self.prompt.communicate()

    def does(self, block: Block) -> str:
        """Run a block, or save it as the file that it is; what it prints."""
        text = block.text
        for theirs, ours in self.replaced.items():
            text = text.replace(theirs, ours)
        if block.file:
            (self.folder / block.file).write_text(text)
            return ""
        if HERE in block.text and not self.server:
            self.serve("convstore serve")
        if block.language == "sh" and SERVES.fullmatch(text.strip().splitlines()[-1]):
            self.serve(text)
            return ""
        if block.language == "sh":
            return self.runs("bash", "-euo", "pipefail", "-c", text)
        return self.runs_python(text)

    def runs(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=self.typed,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout

    def runs_python(self, text: str) -> str:
        """Run a block at the page's prompt; what it prints."""
        if not self.prompt:
            self.prompt = subprocess.Popen(
                [sys.executable, "-c", PROMPT],
                cwd=self.folder,
                env={**self.environment, "DJANGO_SETTINGS_MODULE": "convstore.settings"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.prompt.stdin
        assert self.prompt.stdout
        self.prompt.stdin.write(json.dumps(text) + "\n")
        self.prompt.stdin.flush()
        printed, error = json.loads(self.prompt.stdout.readline())
        assert not error, f"{text}\n{error}"
        return str(printed)

    def makes_tables(self) -> None:
        """As `convstore migrate_memories` does in this folder."""
        (self.folder / "data").mkdir()
        shutil.copy(file_with_tables(), self.folder / "data")

    # --- The service ---------------------------------------------------------------------

    def serve(self, text: str) -> None:
        """Start what the block starts, in place of what ran before, and wait until it answers."""
        self.stop()
        if "make " in text and not (self.folder / "Makefile").exists():
            shutil.rmtree(self.folder)
            checkout(self.folder)
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                requests.get(f"http://127.0.0.1:{self.port}/v2/health/live", timeout=5)
            except requests.RequestException:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"{text!r} did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        if self.server:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.wait(STOP_SECONDS)
            while _is_alive(self.server.pid):
                time.sleep(0.05)
        self.server = None


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
