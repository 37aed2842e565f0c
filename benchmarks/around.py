"""What happens around a run: clients that are slow, and a look at the service's memory."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
import requests

from benchmarks.compare import Figures
from benchmarks.lab import INFER
from benchmarks.subjects import Subject

CLIENTS = 20
# Seconds: between two things that a slow client sends, of its stay, between checks of health.
PAUSE, STAY, HEALTH_PAUSE = 0.2, 2, 0.05
HEAD = f"POST {INFER} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n".encode()
# What a slow client sends at once, and what it sends again and again.
SLOW: dict[str, tuple[bytes, bytes]] = {
    "slow headers": (HEAD, b"X-Slow: 1\r\n"),
    "slow bodies": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
}


def slow_reader(conversation: str, window: int) -> tuple[bytes, bytes]:
    """A client that asks for a large window and never reads it."""
    body = (
        f'{{"parameters":{{"window_size":{window}}},"inputs":[{{"name":"memory_id",'
        f'"shape":[1],"datatype":"BYTES","data":["{conversation}"]}}]}}'
    )
    return HEAD + f"Content-Length: {len(body)}\r\n\r\n{body}".encode(), b""


@contextmanager
def slow_clients(url: str, sent: tuple[bytes, bytes] | None, subject: Subject) -> Iterator[Figures]:
    """Clients that are slow while the run lasts; adds how long the health check took, in ms.

    Each stays for some seconds and comes again, and whoever was cut off comes again at once.
    Health is asked for from before the first of them comes until the last has gone.
    """
    address, ended, gone = ("127.0.0.1", int(url.rpartition(":")[2])), Event(), Event()
    figures: Figures = {}
    health: list[float] = []

    def come_again(first: bytes, more: bytes) -> None:
        while not ended.is_set():
            with suppress(OSError), socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(address)
                client.sendall(first)
                until = time.monotonic() + STAY
                while time.monotonic() < until and not ended.wait(PAUSE):
                    client.sendall(more)

    def ask_for_health() -> None:
        while not health or not gone.wait(HEALTH_PAUSE):
            begun = time.perf_counter()
            with suppress(requests.RequestException):
                requests.get(f"{url}/v2/health/live", timeout=2)
            health.append((time.perf_counter() - begun) * 1e3)

    asking = Thread(target=ask_for_health)
    threads = [Thread(target=come_again, args=sent) for _ in range(CLIENTS)] if sent else []
    asking.start()
    time.sleep(HEALTH_PAUSE)
    for thread in threads:
        thread.start()
    time.sleep(1)  # until all of them are waited for
    try:
        yield figures
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        gone.set()
        asking.join()
    figures["health"] = max(health)


@contextmanager
def peak_memory(subject: Subject) -> Iterator[Figures]:
    """Adds by how many MB the service's memory grew at the most."""
    top = psutil.Process(subject.service)
    paths = [Path(f"/proc/{each.pid}") for each in (top, *top.children(recursive=True))]
    figures: Figures = {}
    before = sum(kilobytes(path, "VmRSS") for path in paths)
    for path in paths:
        (path / "clear_refs").write_text("5")  # the peak begins anew
    yield figures
    after = sum(kilobytes(path, "VmHWM") for path in paths)
    figures["memory"] = (after - before) * 1024 / 1e6


def kilobytes(process: Path, name: str) -> int:
    (found,) = re.findall(rf"{name}:\s+(\d+) kB", (process / "status").read_text())
    return int(found)
