"""Rows written in bulk, past the store, which takes messages one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connections, transaction
from tqdm import tqdm

BATCH = 10_000
Row = Sequence[object]


def prepare(alias: str) -> None:
    """Let SQLite write without waiting for the disk, until the connection ends."""
    if connections[alias].vendor == "sqlite":
        with connections[alias].cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.execute("PRAGMA cache_size=-500000")


def write_rows(alias: str, table: str, columns: str, rows: Iterator[Row], total: int) -> None:
    connection = connections[alias]
    write = _copy if connection.vendor == "postgresql" else _insert
    with tqdm(total=total, desc=table, unit=" rows", unit_scale=True) as bar:
        while batch := list(islice(rows, BATCH)):
            with transaction.atomic(alias), connection.cursor() as cursor:
                write(cursor, f"{table} ({columns})", batch)
            bar.update(len(batch))


def _copy(cursor: Any, target: str, rows: Sequence[Row]) -> None:
    with cursor.copy(f"COPY {target} FROM STDIN") as into:
        for row in rows:
            into.write_row(row)


def _insert(cursor: Any, target: str, rows: Sequence[Row]) -> None:
    values = ", ".join(["%s"] * len(rows[0]))
    cursor.executemany(f"INSERT INTO {target} VALUES ({values})", rows)  # noqa: S608 - no texts of others
