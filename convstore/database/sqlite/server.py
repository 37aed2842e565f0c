"""What is asked of an SQLite file, and of the settings that open it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.server import fetch_row, wait_until

# The highest row number: it counts every row that there ever was, but for the last deleted.
SIZE = "SELECT 'bytes', page_count * page_size FROM pragma_page_count(), pragma_page_size()"
ROW_ESTIMATES = "SELECT '{0}', MAX(rowid) FROM {0} UNION ALL SELECT '{1}', MAX(rowid) FROM {1}"

# As the partial indexes of migration 0012 have it.
OF_TENANT = "substr(memory_id, 1, instr(memory_id, '/')) = %s AND instr(memory_id, '/') > 0"

WRITE_AHEAD = "JOURNAL_MODE=WAL"

# SQLite's locks do not hold there, or its write-ahead log cannot be shared.
NETWORK_FILE_SYSTEMS = (
    *("afs", "ceph", "cifs", "gluster", "lustre", "nfs", "smb"),
    *("fuse.ceph", "fuse.gluster", "fuse.s3fs", "fuse.sshfs"),
)
MOUNTS = Path("/proc/self/mountinfo")


def check_settings(entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = entry["OPTIONS"]
    if ":memory:" in str(entry["NAME"]):
        yield checks.Warning(  # no error, since the tests of many projects run on one
            "it is in memory, and forgets every conversation.",
            hint="Name a file.",
            id="convstore.W011",
        )
    if options.get("transaction_mode") != "IMMEDIATE":
        yield checks.Warning(
            "two writers at once can fail with 'database is locked'.",
            hint="Set OPTIONS['transaction_mode'] to 'IMMEDIATE'.",
            id="convstore.W010",
        )
    pragmas = _pragmas(entry)
    if WRITE_AHEAD not in pragmas:
        yield checks.Warning(
            "without the write-ahead log, readers and the writer wait for each other.",
            hint="Add PRAGMA journal_mode=WAL to OPTIONS['init_command'].",
            id="convstore.W003",
        )
    # SQLite's own default is FULL.
    if any(f"SYNCHRONOUS={value}" in pragmas for value in ("OFF", "NORMAL", "0", "1")):
        yield checks.Warning(
            "a power loss can take the last acknowledged messages.",
            hint="Write PRAGMA synchronous=FULL in OPTIONS['init_command'].",
            id="convstore.W004",
        )


def _pragmas(entry: Mapping[str, Any]) -> str:
    """What is run on each new connection, in capital letters and without blanks."""
    return str(entry["OPTIONS"].get("init_command")).upper().replace(" ", "")


def check_server(
    connection: BaseDatabaseWrapper, tables: tuple[str, ...]
) -> Iterator[CheckMessage]:
    kind = file_system_of(Path(str(connection.settings_dict["NAME"])), _mounts())
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        yield checks.Warning(
            f"it is on a network file system ({kind}), where SQLite can lose or mix up messages.",
            hint="Keep the file on a local disk, or use PostgreSQL.",
            id="convstore.W024",
        )
    (journal,) = fetch_row(connection, "PRAGMA journal_mode")
    if journal != "wal" and WRITE_AHEAD in _pragmas(connection.settings_dict):
        yield checks.Warning(
            f"its journal mode is {journal!r}: the file system may not support a write-ahead log.",
            hint="Keep the file on a local disk.",
            id="convstore.W005",
        )


def _mounts() -> str:
    return MOUNTS.read_text() if MOUNTS.exists() else ""  # it is Linux' own


def file_system_of(file: Path, mounts: str) -> str:
    """The type of the file system that a file is on, from what Linux tells of mounts."""
    folders = {str(folder) for folder in file.absolute().parents}
    found = [(len(point), kind) for point, kind in _mount_points(mounts) if point in folders]
    return max(found, default=(0, ""))[1]


def _mount_points(mounts: str) -> Iterator[tuple[str, str]]:
    for line in mounts.splitlines():
        mount, _, system = line.partition(" - ")
        yield mount.split()[4].replace("\\040", " "), system.split()[0]


@contextmanager
def migration_lock(connection: BaseDatabaseWrapper, on_wait: Callable[[], None]) -> Iterator[None]:
    # The folder and not the file: closing the file would end SQLite's own locks on it.
    folder = os.open(Path(str(connection.settings_dict["NAME"])).parent, os.O_RDONLY)
    try:
        wait_until(lambda: _try_flock(folder), on_wait)
        yield
    finally:
        os.close(folder)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
