"""Values of metrics in memory that is mapped to files, which add up over all worker processes.

The files have the format of prometheus_client, whose collector reads them. Its own values pack a
number and look for its place in the file with each observation, under one lock for all values.
These add to a number in memory. The kernel keeps that memory, so a process that dies loses none.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from prometheus_client import values
from prometheus_client.mmap_dict import mmap_key

# The environment variable that names the folder in which the worker processes add up their
# metrics. prometheus_client reads it, too.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
FIRST_SIZE = 1 << 16


class MetricFile:
    """A new file for the metrics of one type in one process.

    It has the number of bytes that are used, and then entries, in multiples of 8 bytes.
    """

    def __init__(self, metric_type: str) -> None:
        # The process id is for people; the rest makes the name unique, also if an id comes again.
        prefix = f"{metric_type}_{os.getpid()}_"
        self._file, path = tempfile.mkstemp(".new", prefix, os.environ[METRICS_FOLDER])
        self._used = 8
        self._map(FIRST_SIZE)
        Path(path).rename(Path(path).with_suffix(".db"))  # the collector reads none that is empty

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
        os.truncate(self._file, size)
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

    def __init__(self, metric_type: str, *identity: Any) -> None:
        super().__init__(metric_type, *identity)  # type: ignore[no-untyped-call]
        self._type, self._key = metric_type, mmap_key(*identity)
        with self._files_lock:
            self._all.append(self)
            self._open()

    def _open(self) -> None:
        if self._type not in self._files:
            self._files[self._type] = MetricFile(self._type)
        self._number = self._files[self._type].add(self._key)

    @classmethod
    def reopen(cls) -> None:
        """Leave the files to the process that this one was forked from, and begin at 0."""
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
