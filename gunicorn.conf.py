"""How gunicorn serves; it reads this file by itself from the working directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from convstore import settings

host = os.environ.get("HOST", "127.0.0.1")
port = os.environ.get("PORT", "8080")
bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"  # IPv6 has colons of its own
workers = settings.WORKERS
threads = settings.THREADS
worker_class = "gthread"
preload_app = True  # imported once, for a start in a second or two
# Longer than the idle time of the usual proxies, or they would reuse connections that are
# being closed here. An idle connection holds no thread.
keepalive = 75
control_socket_disable = True

# The worker processes' metrics add up through files in this folder, which
# prometheus_client must know before it is imported.
metrics_folder = tempfile.mkdtemp(prefix="convstore-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder


def post_worker_init(worker: Any) -> None:
    """Read the memories' settings before the first request asks for one."""
    from memory_api.memories import memories

    memories()


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    shutil.rmtree(metrics_folder, ignore_errors=True)
