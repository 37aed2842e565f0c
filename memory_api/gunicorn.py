"""gunicorn as it serves convstore: our settings, and what is done as it starts and ends."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from gunicorn.app.base import Application

# prometheus_client reads it when it is imported: the folder in which the worker processes'
# metrics add up.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# What the folders' names begin with that are ours to remove.
METRICS_PREFIX = "convstore-metrics-"


class Server(Application):
    """gunicorn with our settings, which GUNICORN_CMD_ARGS overrides.

    Stock gunicorn would also read the file gunicorn.conf.py of whatever folder it is started
    in, and import from that folder first.
    """

    def __init__(self) -> None:
        super().__init__(prog="GUNICORN_CMD_ARGS")  # what its complaints begin with

    def load_config(self) -> None:
        for name, value in own_settings().items():
            self.cfg.set(name, value)
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        if given.config:
            self.load_config_from_file(given.config)
        for name, value in vars(given).items():
            if name != "args" and value is not None:
                self.cfg.set(name, value)

    def run(self) -> None:
        os.chdir(self.cfg.chdir)
        super().run()

    def load(self) -> Any:
        from convstore.wsgi import application

        return application


def own_settings() -> dict[str, Any]:
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST  # IPv6
    return {
        "bind": f"{host}:{settings.PORT}",
        "workers": settings.WORKERS,
        "threads": settings.THREADS,
        "worker_class": "gthread",
        "preload_app": True,  # imported once, for a start in a second or two
        # Longer than the idle time of the usual proxies, or they would reuse connections that
        # are being closed here. An idle connection holds no thread.
        "keepalive": 75,
        "control_socket_disable": True,
        "when_ready": announce,
        "post_worker_init": read_memories,
        "child_exit": forget_worker,
        "on_exit": remove_metrics_folder,
    }


def announce(server: Any) -> None:
    """Say where requests are answered, out of what gunicorn listens on."""
    addresses = ", ".join(map(str, server.LISTENERS or server.address))
    sys.stdout.write(
        f"The memories are those of {settings.MODELS_DIR}\n"
        f"Serving on {addresses} - docs at /v2/docs, admin at /admin/ (Ctrl-C stops)\n"
    )
    sys.stdout.flush()


def read_memories(worker: Any) -> None:
    """Read the memories' settings before the first request asks for one."""
    from memory_api.memories import memories

    memories()


def forget_worker(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def remove_metrics_folder(server: Any) -> None:
    folder = Path(os.environ.get(METRICS_FOLDER, ""))
    # After a USR2 signal another gunicorn goes on in this one's place, with the same folder.
    if folder.name.startswith(METRICS_PREFIX) and not server.reexec_pid:
        shutil.rmtree(folder, ignore_errors=True)
