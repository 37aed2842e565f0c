"""Real conversations through the running service: sent, read back and compared.

`make replay` sends the 258,145 messages of the package chitchat-dataset, one request each,
from several clients at once. Then every conversation is read back: nothing may be lost,
nothing may be there twice, all of it must be in order.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.subjects import cpu_seconds
from testing.replay import CLIENTS, chitchat, replay
from testing.service import Service, write_memory

MEMORY = "filesys-memory"


@contextmanager
def own_service(memory: str, database_url: str | None) -> Iterator[Service]:
    """The service on a free port, with one memory and, by default, a fresh SQLite file."""
    with tempfile.TemporaryDirectory(prefix="convstore-replay-") as name:
        folder = Path(name)
        write_memory(folder / "models", memory, {"database": "sql", "config": {"window_size": 50}})
        url = database_url or f"sqlite:///{folder}/conversations.sqlite3"
        with Service(folder, DATABASE_URL=url, MODELS_DIR=str(folder / "models")) as service:
            yield service


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--url", help="a running service; by default one is started, with a fresh database")
    add("--memory", default=MEMORY, help="which memory (default: %(default)s)")
    add("--database-url", help="the database of the service that is started")
    add("--clients", type=int, default=CLIENTS, help="clients at once (default: %(default)s)")
    add("--limit", type=int, help="only the first LIMIT conversations")
    add("--run", help="what the memory_ids begin with (default: a fresh word)")
    chosen = parser.parse_args()
    if chosen.url and chosen.database_url:
        parser.error("--database-url is for a service that is started here, --url for another")
    if chosen.clients < 1 or (chosen.limit is not None and chosen.limit < 0):
        parser.error("--clients must be at least 1, and --limit at least 0")
    return chosen


def main() -> int:
    chosen = options()
    conversations = chitchat(chosen.limit)
    how = (chosen.memory, conversations, chosen.clients)
    if chosen.url:
        summary = replay(chosen.url, *how, run=chosen.run)
    else:
        with own_service(chosen.memory, chosen.database_url) as service:
            cpu = partial(cpu_seconds, service.process.pid)
            summary = replay(service.url, *how, run=chosen.run, cpu_seconds=cpu)
            if not summary.exact:  # the log is about to be removed
                print(service.log.read_text()[-10_000:], file=sys.stderr)
    print(summary)
    return 0 if summary.exact else 1


if __name__ == "__main__":
    sys.exit(main())
