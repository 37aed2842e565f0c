"""gunicorn with convstore's settings, and what it runs when workers start and end."""

from __future__ import annotations

import gc
import os
import select
import shutil
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from gunicorn import glogging
from gunicorn.app.base import Application

from convstore.log_format import JsonFormatter, LineFormatter
from memory_api.metric_files import METRICS_FOLDER, merge_dead_files

# Where it is possible: `is_buffering_possible`.
WORKER_CLASS = "memory_api.server.worker.BufferingWorker"
MAX_HEADER_BYTES = 64 * 1024
# The folders that we made, and therefore may remove, have names with this prefix.
METRICS_PREFIX = "convstore-metrics-"


class Server(Application):
    """gunicorn with our settings; GUNICORN_CMD_ARGS overrides them.

    The `gunicorn` command would also read gunicorn.conf.py in the working directory and put
    that directory first on the import path.
    """

    def __init__(self) -> None:
        super().__init__(prog="GUNICORN_CMD_ARGS")  # the name in its usage errors

    def load_config(self) -> None:
        # gunicorn would answer 500 to each request without it, such as those of health probes.
        os.environ.pop("SCRIPT_NAME", None)
        for name, value in default_settings().items():
            self.cfg.set(name, value)
        arguments = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        if arguments.config:
            self.load_config_from_file(arguments.config)
        for name, value in vars(arguments).items():
            if name != "args" and value is not None:
                self.cfg.set(name, value)
        if self.cfg.worker_class_str == WORKER_CLASS and not is_buffering_possible(self.cfg):
            self.cfg.set("worker_class", "gthread")
        if self.cfg.accesslog and "REQUEST_LOG" not in os.environ:
            # Once is enough. Django reads this again as the application is imported.
            settings.LOGGING["loggers"]["convstore.request_log"]["level"] = "CRITICAL"

    def run(self) -> None:
        os.chdir(self.cfg.chdir)
        super().run()

    def load(self) -> Any:
        from convstore.wsgi import application

        keep_shared()
        return application


class Logger(glogging.Logger):
    """gunicorn's log, in the form of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        is_json = settings.REQUEST_LOG == "json"
        formatter = JsonFormatter() if is_json else LineFormatter(self.error_fmt, self.datefmt)
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter)


def is_buffering_possible(cfg: Any) -> bool:
    """Whether our worker class can read this protocol: HTTP/1 without TLS, on Linux."""
    is_plain = not cfg.is_ssl and cfg.protocol == "http" and list(cfg.http_protocols) == ["h1"]
    return is_plain and hasattr(select, "epoll")


def default_settings() -> dict[str, Any]:
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST  # IPv6
    return {
        "bind": f"{host}:{settings.PORT}",
        "workers": settings.WORKERS,
        "threads": settings.THREADS,
        "logger_class": Logger,
        "worker_class": WORKER_CLASS,
        "worker_connections": settings.MAX_CONNECTIONS,
        "preload_app": True,  # imported once for all workers
        # Longer than the idle timeout of common proxies, which might otherwise reuse a connection
        # that is being closed here. An idle connection occupies no thread.
        "keepalive": settings.KEEPALIVE_TIMEOUT,
        # Tokens of identity providers are long; gunicorn's own limit is 8 KiB.
        "limit_request_field_size": MAX_HEADER_BYTES,
        "sendfile": False,  # replies are collected
        "control_socket_disable": True,
        "when_ready": announce,
        "pre_exec": run_same_command,
        "post_worker_init": begin_worker,
        "worker_exit": end_worker,
        "child_exit": forget_worker,
        "on_exit": remove_metrics_folder,
    }


def announce(server: Any) -> None:
    """Say what is served, where, and who may come."""
    from memory_api.start_log import say, start_lines

    listeners = server.LISTENERS
    addresses = [listener.sock.getsockname() for listener in listeners] or server.address
    urls = ", ".join(map(str, listeners or server.address))
    for line in start_lines(addresses, urls):
        say(line, sys.stdout)


def keep_shared() -> None:
    """Workers share what was imported before they began, until something writes to its pages.

    A full garbage collection would do so, at some time in each worker.
    """
    gc.collect()
    gc.freeze()


def run_same_command(server: Any) -> None:
    """After USR2: gunicorn knows neither of `python -m` nor of the metrics folder."""
    server.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]
    server.cfg.env_orig = os.environ.copy()


def begin_worker(worker: Any) -> None:
    """Read the memories' settings and ask their databases before the first request needs them."""
    from memory_api.memories import log_repository, memories
    from memory_api.start_log import look_for_users, trace_if_wanted
    from memory_api.views import readiness_probe

    trace_if_wanted()
    log_repository()
    if worker.age == 1:
        look_for_users()
    readiness_probe.start(memories())


def end_worker(server: Any, worker: Any) -> None:
    """Close the probes' connections: SQLite leaves files behind where one is cut off."""
    from memory_api.views import readiness_probe

    readiness_probe.stop()


def forget_worker(server: Any, worker: Any) -> None:
    merge_dead_files()


def remove_metrics_folder(server: Any) -> None:
    folder = Path(os.environ.get(METRICS_FOLDER, ""))
    # After a USR2 signal a new gunicorn takes over, or ends again; both use the same folder.
    is_shared = server.reexec_pid or server.master_pid
    if folder.name.startswith(METRICS_PREFIX) and not is_shared:
        shutil.rmtree(folder, ignore_errors=True)
