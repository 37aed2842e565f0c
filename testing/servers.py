"""What the database servers of the tests have in common."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

START_SECONDS = 60
PAUSE_SECONDS = 0.05


def wait_until_it_answers(
    process: subprocess.Popen[bytes], ask: Callable[[], object], error: type[Exception], log: Path
) -> None:
    """Return once `ask` raises no `error`; AssertionError with the log if it never does."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask()
        except error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
                continue
            raise AssertionError(f"{process.args!r} did not start:\n{log.read_text()}") from None
        return


def stop_and_list(pid: int) -> list[psutil.Process]:
    """The process, which is stopped, and all that it has started; it starts no more."""
    first = psutil.Process(pid)
    first.suspend()
    while first.status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    return [first, *first.children(recursive=True)]
