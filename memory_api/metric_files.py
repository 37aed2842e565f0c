"""Values of metrics in memory that is mapped to files, which add up over all worker processes.

The files have the format of prometheus_client, whose collector reads them. Its own values pack a
number and look for its place in the file with each observation, under one lock for all values.
The values here add to a number in mapped memory instead. The kernel keeps that memory, so a
process that dies loses none.

A process holds a lock on its files for as long as it lives. The files of the dead are merged.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

logger = logging.getLogger(__name__)

# The environment variable that names the folder in which the worker processes add up their
# metrics. prometheus_client reads it, too.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
FIRST_SIZE = 1 << 16
# Those who merge files lock this one exclusively, and those who read them all share it.
READERS_FILE = "readers"
# The types of metrics whose values add up.
ADDED_TYPES = "counter", "histogram", "summary"
# Gauges of live processes are summed; those of dead processes are discarded.
LIVING_TYPE = "gauge_livesum"


class MetricFile:
    """A new file for the metrics of one type in one process.

    It has the number of bytes that are used, and then entries, in multiples of 8 bytes.
    """

    def __init__(self, metric_type: str) -> None:
        # The process id is for people; the rest makes the name unique, even if
        # the kernel reuses a process id.
        prefix = f"{metric_type}_{os.getpid()}_"
        self._file, path = tempfile.mkstemp(".new", prefix, os.environ[METRICS_FOLDER])
        self._used = 8
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH)
            self._map(FIRST_SIZE)
        except OSError:
            self.close()
            Path(path).unlink()
            raise
        self.path = Path(path).rename(Path(path).with_suffix(".db"))  # none is read while empty

    def close(self) -> None:
        """Leave the file to others. Numbers in it stay mapped for as long as they are used."""
        os.close(self._file)

    def add(self, key: str) -> memoryview[float]:
        """Add an entry with the number 0; returns the memory of the number."""
        name = key.encode()
        padded = name + b" " * (8 - (len(name) + 4) % 8)
        entry = struct.pack(f"i{len(padded)}sdd", len(name), padded, 0.0, 0.0)
        begin, end = self._used, self._used + len(entry)
        if end > len(self._memory):
            self._map(2 * end)
        self._memory[begin:end] = entry
        self._use(end)
        return memoryview(self._memory)[end - 16 : end - 8].cast("d")

    def _map(self, size: int) -> None:
        """Map the file anew. Numbers that were added before stay mapped to their places in it."""
        # On a full disk this fails; a file with holes would end the process at some later number.
        os.posix_fallocate(self._file, 0, size)
        self._memory = mmap.mmap(self._file, size)
        self._use(self._used)

    def _use(self, size: int) -> None:
        self._memory[:4] = struct.pack("i", size)
        self._used = size


class MappedValue(values.MutexValue):
    """A number in the file of this process for this type of metric: a counter or the like."""

    _multiprocess = True
    _files: ClassVar[dict[str, MetricFile]] = {}
    _all: ClassVar[list[MappedValue]] = []
    _files_lock = Lock()

    def __init__(self, metric_type: str, *identity: Any, multiprocess_mode: str = "") -> None:
        super().__init__(metric_type, *identity)  # type: ignore[no-untyped-call]
        self._type = f"{metric_type}_{multiprocess_mode}" if multiprocess_mode else metric_type
        self._key = mmap_key(*identity)
        with self._files_lock:
            self._all.append(self)
            self._open()

    def _open(self) -> None:
        try:
            if self._type not in self._files:
                self._files[self._type] = MetricFile(self._type)
            self._number = self._files[self._type].add(self._key)
        except OSError as error:
            logger.warning("A metric is counted in this process only: %s", error)
            self._number = memoryview(bytearray(8)).cast("d")

    @classmethod
    def reopen(cls) -> None:
        """Leave the files to the process that this one was forked from, and begin at 0."""
        for file in cls._files.values():
            file.close()
        cls._files.clear()
        for value in cls._all:
            value._open()

    def inc(self, amount: float) -> None:
        with self._lock:
            self._number[0] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._number[0] = value

    def get(self) -> float:
        return float(self._number[0])


def share_metrics() -> None:
    """Keep the values of all metrics that are made from now on in files, if there is a folder."""
    if METRICS_FOLDER in os.environ and values.ValueClass is not MappedValue:
        values.ValueClass = MappedValue
        os.register_at_fork(after_in_child=MappedValue.reopen)


# --- The files of dead processes ---------------------------------------------------------


@contextmanager
def try_lock(path: Path, how: int) -> Iterator[bool]:
    """Try to lock a file, waiting unless LOCK_NB is set. Yields whether the lock is held."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def unmerged_metrics() -> Iterator[None]:
    """While somebody reads all files, none are merged, and so no number counts twice."""
    with try_lock(Path(os.environ[METRICS_FOLDER]) / READERS_FILE, fcntl.LOCK_SH):
        yield


def merge_dead_files() -> None:
    """Make one file for each type of metric of those that dead processes left.

    If somebody reads them now, the next call does it.
    """
    if not (folder := os.environ.get(METRICS_FOLDER)):
        return
    with try_lock(Path(folder) / READERS_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_held:
        for metric_type in ADDED_TYPES if is_held else ():
            try:
                _merge_files(metric_type, Path(folder))
            except OSError as error:
                logger.warning("Files of metrics in %s were not merged: %s", folder, error)
        if is_held:
            _remove_dead_gauges(Path(folder))


def _remove_dead_gauges(folder: Path) -> None:
    for path in folder.glob(f"{LIVING_TYPE}_*.db"):
        with try_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_dead:
            if is_dead:
                path.unlink()


def _merge_files(metric_type: str, folder: Path) -> None:
    with ExitStack() as locks:
        dead = [
            path
            for path in folder.glob(f"{metric_type}_*.db")
            if locks.enter_context(try_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        ]
        if len(dead) < 2:
            return
        merged = MetricFile(metric_type)
        try:
            for key, number in _sums(dead).items():
                merged.add(key)[0] = number
        except OSError:
            merged.path.unlink()
            raise
        finally:
            merged.close()
        for path in dead:
            path.unlink()


def _sums(files: list[Path]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for path in files:
        for key, number, *_ in MmapedDict.read_all_values_from_file(str(path)):
            sums[key] += number
    return sums
