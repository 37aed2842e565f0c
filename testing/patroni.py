"""Patroni with etcd, from Debian's packages: PostgreSQL servers that choose their primary."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
import requests

from testing.postgres import debians, is_alive
from testing.processes import free_port
from testing.servers import PAUSE_SECONDS, START_SECONDS, stop_and_list

EVERYBODY = ["local all all trust", "host all all 127.0.0.1/32 trust"]


def programs() -> list[str | None]:
    """The paths of etcd and Patroni, and PostgreSQL's folder; None for what there is not."""
    servers = debians()
    return [shutil.which("etcd"), shutil.which("patroni"), str(servers) if servers else None]


class Node:
    """One Patroni, and the PostgreSQL that it starts, on loopback."""

    def __init__(self, name: str, cluster: PatroniCluster) -> None:
        self.name, self.cluster = name, cluster
        self.folder = cluster.folder / name
        self.port, self.rest_port = free_port(), free_port()

    def settings(self) -> dict[str, Any]:
        return {
            "scope": "convstore",
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest_port}"},
            "etcd3": {"host": f"127.0.0.1:{self.cluster.etcd_port}"},
            "bootstrap": {
                "initdb": [{"encoding": "UTF8"}, {"auth": "trust"}],
                **self.cluster.settings["bootstrap"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "data_dir": str(self.folder / "data"),
                "bin_dir": self.cluster.programs,
                "authentication": {
                    "superuser": {"username": "admin"},
                    "replication": {"username": "replicator"},
                },
                "pg_hba": [*EVERYBODY, "host replication all 127.0.0.1/32 trust"],
                "parameters": {"unix_socket_directories": str(self.folder)},
                **self.cluster.settings["postgresql"],
            },
        }

    def start(self) -> None:
        (self.folder / "settings.json").write_text(json.dumps(self.settings()))  # which is YAML
        self.process = self.cluster.run("patroni", str(self.folder / "settings.json"))

    def kill_patroni(self) -> None:
        """Kill Patroni alone. Its PostgreSQL is no child of it, and lives on."""
        self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """Kill Patroni and its PostgreSQL at once, as when the machine loses its power."""
        self.kill_patroni()
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        processes = stop_and_list(pid)
        for process in processes:
            process.kill()
        while any(map(is_alive, processes)):
            time.sleep(PAUSE_SECONDS)

    def execute(self, statement: LiteralString) -> list[tuple[object, ...]]:
        """Run one statement as admin; its rows."""
        url = f"postgresql://admin@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def is_primary(self) -> bool:
        return self._says("primary")

    @property
    def is_synchronous(self) -> bool:
        return self._says("synchronous")

    def _says(self, role: str) -> bool:
        """Whether this Patroni says that its server has this role."""
        try:
            url = f"http://127.0.0.1:{self.rest_port}/{role}"
            return requests.get(url, timeout=5).status_code == 200
        except requests.RequestException:
            return False


class PatroniCluster:
    """An etcd and two nodes of Patroni, with `settings` of the sections that the docs have."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        etcd, patroni, servers = programs()
        assert etcd
        assert patroni
        assert servers
        self.programs = servers
        self.folder = Path(tempfile.mkdtemp(prefix="convstore-patroni-"))
        self.etcd_port = free_port()
        self.nodes = [Node(name, self) for name in ("a", "b")]
        # PostgreSQL refuses to run as root.
        self.user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str) -> str:
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://admin@/{database}?{hosts}&target_session_attrs=read-write"

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.folder.mkdir(mode=0o700)
        if self.user:
            owner = pwd.getpwnam(self.user)
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        peers = f"http://127.0.0.1:{free_port()}"
        clients = f"http://127.0.0.1:{self.etcd_port}"
        self.etcd = self.run(
            *("etcd", "--data-dir", str(self.folder / "etcd"), "--name", "etcd"),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"etcd={peers}"),
        )
        for node in self.nodes:
            node.start()
        self.primary()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.process.terminate()
        for process in (*(node.process for node in self.nodes), self.etcd):
            process.terminate()
            process.wait(60)
        shutil.rmtree(self.folder)

    def primary(self) -> Node:
        """The primary, as soon as there is one."""
        self._wait(lambda: any(node.is_primary for node in self.nodes))
        return next(node for node in self.nodes if node.is_primary)

    def make_whole(self) -> None:
        """Start who was killed, and wait until commits of the primary wait for the other node."""
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start()
        primary, states = self.primary(), "SELECT sync_state FROM pg_stat_replication"
        self._wait(lambda: primary.execute(states) == [("sync",)])
        # And Patroni knows that, or it would let no other node become the primary.
        others = [node for node in self.nodes if node is not primary]
        self._wait(lambda: all(node.is_synchronous for node in others))

    def switch_over(self) -> None:
        """Ask Patroni to make the other node the primary, and wait until it is."""
        former = self.primary()
        url = f"http://127.0.0.1:{former.rest_port}/switchover"
        requests.post(url, json={"leader": former.name}, timeout=60).raise_for_status()
        self._wait(lambda: any(node.is_primary for node in self.nodes if node is not former))

    def fail_over(self, kill: Callable[[Node], None] = Node.kill) -> None:
        """Kill the primary, and wait until the other node is one."""
        kill(self.primary())
        self.primary()

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program in the cluster's folder, whose output goes into its log."""
        who: dict[str, Any] = {"user": self.user, "group": None, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **(who if self.user else {}),
            )

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 3 * START_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-10_000:]
            time.sleep(PAUSE_SECONDS)
