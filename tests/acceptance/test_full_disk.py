"""SQLite on a disk that is full: a clear 503, nothing acknowledged is lost, and it goes on.

The disk is a tmpfs of a few megabytes, mounted in a namespace in which only the service
lives, and which ends with it. That needs unshare and mount, of util-linux, and either root
that may mount (in a container, CAP_SYS_ADMIN) or a kernel that gives users namespaces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import disk_usage

import psutil
import pytest

from testing.bodies import append_request, read_request
from testing.service import Service, write_memory
from tests.doors import HttpDoor

MEGABYTES = 8
# What is left for messages before it is full, in bytes, each time that it is filled up.
ROOMS = (0, 50_000, 500_000)
CLIENTS = 4
MESSAGES = 10
REFUSALS = 5
TEXT = "{} " + "x" * 5_000
# More than the whole disk can hold.
TOO_MANY = MEGABYTES * 2**20 // len(TEXT)
FULL = {"error": "the database has no room left on its disk"}

# A `make` that has the disk. A namespace of users lets one mount who is not root.
MAKE = """#!/bin/sh
PATH=${{PATH#*:}}
exec unshare --mount {user} sh -ec '
    mount -t tmpfs -o size={megabytes}m tmpfs "{folder}"
    exec make "$@"
' make "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the disk is, for the service."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


@pytest.fixture
def service(tmp_path: Path, folder: Path) -> Iterator[Service]:
    """The service, with its database on the disk."""
    write_memory(tmp_path / "models", "memory", {"database": "sql", "config": {"window_size": 1}})
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    user = "" if os.geteuid() == 0 else "--map-root-user"
    make.write_text(MAKE.format(user=user, megabytes=MEGABYTES, folder=folder))
    make.chmod(0o755)
    with Service(
        tmp_path,
        PATH=f"{make.parent}:{os.environ['PATH']}",
        DATABASE_URL=f"sqlite:///{folder}/conversations.sqlite3",
        MODELS_DIR=str(tmp_path / "models"),
    ) as service:
        yield service


@pytest.fixture
def ballast(service: Service, folder: Path) -> Path:
    """A file on the disk, as it is seen from here."""
    root = Path(f"/proc/{service.process.pid}/root")
    return root / folder.relative_to("/") / "ballast"


def test_a_full_disk_is_503_and_loses_nothing_and_with_room_the_service_goes_on(service, ballast):
    processes = psutil.Process(service.process.pid).children(recursive=True)
    clients = [Client(service, f"conversation-{n}") for n in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:

        def all_of_them(do: Callable[[Client], None]) -> None:
            list(threads.map(do, clients))  # raises what one of them does

        for room in ROOMS:
            all_of_them(Client.is_answered)
            fill_up(ballast, room)
            all_of_them(Client.speaks_until_refused)
            all_of_them(Client.reads)
            ballast.unlink()
        all_of_them(Client.is_answered)
    for client in clients:
        assert client.history() == client.acknowledged
    assert psutil.Process(service.process.pid).children(recursive=True) == processes


def fill_up(ballast: Path, room: int) -> None:
    free = disk_usage(ballast.parent).free
    assert room < free < MEGABYTES * 2**20  # it is the small disk
    ballast.write_bytes(bytes(free - room))


class Client:
    """One who writes to a conversation of its own, and remembers what was acknowledged."""

    def __init__(self, service: Service, memory_id: str) -> None:
        self.door = HttpDoor(service)
        self.memory_id = memory_id
        self.sent = 0
        self.acknowledged: list[str] = []

    def says(self) -> bool:
        """Whether the next message was acknowledged; if not, it was refused clearly."""
        self.sent += 1
        text = TEXT.format(self.sent)
        reply = self.door.infer(append_request(self.memory_id, text))
        if reply.status == 200:
            assert reply.texts == [text]
            self.acknowledged.append(text)
            return True
        assert (reply.status, reply.document) == (503, FULL)
        assert reply.headers["Retry-After"] == "1"
        return False

    def is_answered(self) -> None:
        for _ in range(MESSAGES):
            assert self.says()

    def speaks_until_refused(self) -> None:
        refused = 0
        for _ in range(TOO_MANY):
            refused += not self.says()
            if refused == REFUSALS:
                return
        raise AssertionError(f"refused {refused} times")

    def reads(self) -> None:
        assert self.door.infer(read_request(self.memory_id)).texts == self.acknowledged[-1:]

    def history(self) -> list[str]:
        everything = {"window_size": 2**31 - 1}
        return self.door.infer(read_request(self.memory_id, parameters=everything)).texts
