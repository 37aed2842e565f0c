"""The peak of a process' memory while it answers one request, and what the docs say of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psutil

from memory_api.limits import BYTES_OF_A_VALUE
from testing.processes import Process, process_group

# Bytes of memory for each byte of a request's body, at the most. Python keeps a text with one
# emoji in 4 bytes a character, and several copies of it live while it is stored and sent back.
PEAK_OF_TEXT = 24
# A control character of one byte becomes six in JSON.
PEAK_OF_CONTROL_CHARACTERS = 40
# Bytes of memory for each byte of the messages in a reply.
PEAK_OF_A_REPLY = 9
# Bytes of memory for each value of MAX_VALUES, at the most.
PEAK_OF_A_VALUE = BYTES_OF_A_VALUE * PEAK_OF_TEXT
# What a process takes before its first request, and for small ones.
BASE = 256 * 1024**2


def peak_growth(service: Process, ask: Callable[[], object]) -> int:
    """By how many bytes the memory of a service grew at the most while `ask` ran."""
    paths = [Path(f"/proc/{each.pid}") for each in process_group(service.process.pid)]
    before = {path: _kilobytes(path, "VmRSS") for path in paths}
    for path in paths:
        (path / "clear_refs").write_text("5")  # the peak begins anew
    ask()
    return 1024 * sum(_kilobytes(path, "VmHWM") - before[path] for path in paths)


def resident(service: Process) -> int:
    return sum(
        psutil.Process(each.pid).memory_info().rss for each in process_group(service.process.pid)
    )


def _kilobytes(process: Path, name: str) -> int:
    (found,) = re.findall(rf"{name}:\s+(\d+) kB", (process / "status").read_text())
    return int(found)
