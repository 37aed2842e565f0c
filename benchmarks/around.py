"""What happens around a run: clients that are slow, and a look at the service's memory."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import requests

from benchmarks.compare import Figures
from benchmarks.lab import INFER
from benchmarks.subjects import Subject

CLIENTS = 20
PAUSE = 0.2
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
def slow_clients(url: str, sent: tuple[bytes, bytes], subject: Subject) -> Iterator[Figures]:
    """Clients that are slow while the run lasts; adds how long the health check took, in ms."""
    first, more = sent
    port, ended, health = int(url.rpartition(":")[2]), threading.Event(), [0.0]
    figures: Figures = {}

    def stay_slow(client: socket.socket) -> None:
        with suppress(OSError):  # the service may end the connection
            while not ended.wait(PAUSE):
                client.sendall(more)

    def ask_for_health() -> None:
        while not ended.wait(PAUSE):
            begun = time.perf_counter()
            with suppress(requests.RequestException):
                requests.get(f"{url}/v2/health/live", timeout=2)
            health.append((time.perf_counter() - begun) * 1e3)

    with ExitStack() as stack:
        work: list[Callable[[], None]] = [ask_for_health]
        for _ in range(CLIENTS if first else 0):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(first)
            work.append(lambda client=client: stay_slow(client))  # type: ignore[misc]
        time.sleep(1)  # until all of them are waited for
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        yield figures
        ended.set()
    for thread in threads:
        thread.join()
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
    figures["memory"] = (sum(kilobytes(path, "VmHWM") for path in paths) - before) / 1024


def kilobytes(process: Path, name: str) -> int:
    (found,) = re.findall(rf"{name}:\s+(\d+) kB", (process / "status").read_text())
    return int(found)
