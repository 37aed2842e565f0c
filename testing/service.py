"""The service as a process, started the way the README says, and the memories of the tests."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Self

from testing.processes import ROOT, Process, checkout, inherited_environment

TENSORS = ["role", "content", "type"]
TOOLS = [*TENSORS, "tool_calls", "tool_call_id"]
# All fields of a message in OpenAI's chat format.
OPENAI_TENSORS = [
    *TOOLS,
    *("name", "refusal", "annotations", "audio", "content_parts", "function_call", "id", "parsed"),
]
# Nothing listens there: port 1 is the lowest that there is.
NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nothing"

# name -> (version, config); without a URL a memory keeps to DATABASE_URL.
MEMORIES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "memory": (None, {"window_size": 50, "tensor_names": TENSORS}),
    "default": (None, {}),
    "four": (None, {"window_size": 4}),
    "two": (None, {"window_size": 2}),
    "one": (None, {"window_size": 1}),
    "tools": (None, {"window_size": 50, "tensor_names": [*TOOLS, "name"]}),
    "openai": (None, {"tensor_names": OPENAI_TENSORS}),
    "contents": (None, {"tensor_names": ["content"]}),  # in Seldon's older shape
    "versioned": ("3", {}),
    "once": (None, {"idempotency": "request_id"}),
    "once_1": ("1", {"idempotency": "request_id"}),
    "other": (None, {"idempotency": "request_id"}),
    "down": (None, {"url": NOWHERE}),
    "alone": (None, {"read_url": NOWHERE, "stale_reads": True}),  # whose standby is away
}


def write_memories(folder: Path) -> None:
    """A folder of model-settings.json files, one for each of MEMORIES."""
    for name, (version, config) in MEMORIES.items():
        extra: dict[str, Any] = {"database": "sql", "config": config}
        if "role" not in config.get("tensor_names", TENSORS):
            extra = {"database_config": {"database": "sql"}, "memory_config": config}
        write_memory(folder, name, extra, version)


def write_memory(
    folder: Path, name: str, extra: dict[str, Any], version: str | None = None
) -> None:
    document = {
        "name": name,
        "implementation": "mlserver_memory.ConversationalMemory",
        "parameters": {"version": version, "extra": extra},
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "model-settings.json").write_text(json.dumps(document))


class Service(Process):
    """The HTTP door: gunicorn, by `make serve`.

    Where nothing names another database, it begins with a file that has tables and no rows.
    """

    target = "serve"

    def __enter__(self) -> Self:
        data = self.folder / "data"
        if not self.folder.exists() and not {"DATABASE_URL", "DATA_DIR"} & set(self.environment):
            checkout(self.folder)
            data.mkdir()
            shutil.copy(file_with_tables(), data)
        return super().__enter__()


@cache
def file_with_tables() -> Path:
    """The default SQLite file with its tables: to make them takes as long as a start."""
    folder = Path(tempfile.mkdtemp(prefix="convstore-tables-"))
    atexit.register(shutil.rmtree, folder)
    environment = {**inherited_environment(), "DATA_DIR": str(folder)}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "convstore", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder / "conversations.sqlite3"
