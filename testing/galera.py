"""A Galera cluster of our own: MariaDB servers on loopback, each of which takes writes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pymysql

from testing.mariadb import MariaDb
from testing.processes import free_port

NODES = 3
READY_SECONDS, PAUSE_SECONDS = 60, 0.25
PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
# Whoever does not answer for so long is no member any more. The defaults are 5 and 15 seconds.
PATIENCE = (
    "evs.keepalive_period=PT0.5S; evs.inactive_check_period=PT0.5S; evs.suspect_timeout=PT2S;"
    " evs.inactive_timeout=PT5S; evs.install_timeout=PT5S"
)
SMALL = ("innodb-log-file-size=16M", "innodb-buffer-pool-size=64M")


class Node(MariaDb):
    """One server of a cluster. The first one makes it; the others copy their data from there."""

    def __init__(self, *options: str) -> None:
        self.group_port, self.copy_port, self.replay_port = free_port(), free_port(), free_port()
        super().__init__(*options)

    def join(self, members: Sequence[Node]) -> None:
        """Say who is in the cluster; to be called before the start."""
        self.is_first = self is members[0]
        addresses = ",".join(f"127.0.0.1:{node.group_port}" for node in members)
        mine = (
            f"gmcast.listen_addr=tcp://127.0.0.1:{self.group_port};"
            f" ist.recv_addr=127.0.0.1:{self.replay_port}; gcache.size=32M; {PATIENCE}"
        )
        self.options = (
            f"wsrep-provider={provider()}",
            "wsrep-on=ON",
            f"wsrep-cluster-address=gcomm://{addresses}",
            f"wsrep-node-address=127.0.0.1:{self.group_port}",
            f"wsrep-provider-options={mine}",
            "wsrep-sst-method=rsync",
            f"wsrep-sst-receive-address=127.0.0.1:{self.copy_port}",
            "binlog-format=ROW",
            "innodb-autoinc-lock-mode=2",
            *SMALL,
            *self.options,
        )

    def __enter__(self) -> Self:
        self.own_folder()
        if self.is_first:
            self.install()
            self.start("wsrep-new-cluster")
            return self
        (self.folder / "data").mkdir()
        if self.user:
            shutil.chown(self.folder / "data", self.user)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        ended = self.process.poll()
        self.kill()
        log = (self.folder / "log").read_text()
        shutil.rmtree(self.folder)
        assert ended is None, f"a node ended by itself ({ended}):\n{log}"

    def status(self, name: str) -> str:
        ((_, value),) = self.execute(f"SHOW GLOBAL STATUS LIKE 'wsrep_{name}'")
        return str(value)

    def is_synced(self) -> bool:
        """Whether it takes writes, and has those of the others."""
        try:
            return self.status("local_state_comment") == "Synced"
        except pymysql.MySQLError:
            return False

    def is_alone(self) -> bool:
        """Whether it has lost its cluster, and so takes no writes."""
        return self.status("cluster_status") != "Primary"

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Without a network to the other nodes. Its clients stay connected."""
        self.set_provider("gmcast.isolate=1")
        wait_until(self.is_alone)
        yield
        self.set_provider("gmcast.isolate=0")
        wait_until(self.is_synced)

    def bootstrap(self) -> None:
        """As an operator does who knows that no other node is alive: go on as the cluster."""
        self.set_provider("pc.bootstrap=YES")
        wait_until(self.is_synced)

    def set_provider(self, option: str) -> None:
        self.execute(f"SET GLOBAL wsrep_provider_options = '{option}'")


class Galera:
    """A cluster of NODES nodes; `options` are those of each one's command line."""

    def __init__(self, *options: str) -> None:
        self.nodes = [Node(*options) for _ in range(NODES)]
        for node in self.nodes:
            node.join(self.nodes)

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.__enter__()
        self.wait_until_whole()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.__exit__()

    def kill(self, node: Node) -> None:
        """Kill a node, and wait until the others know; one that is back before confuses them."""
        node.kill()
        other = next(each for each in self.nodes if each is not node)
        wait_until(lambda: other.status("cluster_size") == str(NODES - 1))

    def wait_until_whole(self) -> None:
        """Return when every node is in the cluster, and has its data."""
        wait_until(lambda: self.nodes[0].status("cluster_size") == str(NODES))
        for node in self.nodes:
            wait_until(node.is_synced)


def wait_until(succeeds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not succeeds():
        assert time.monotonic() < deadline, "the cluster is not as it should be by now"
        time.sleep(PAUSE_SECONDS)


def provider() -> str | None:
    """The path of Galera's library; None where there is none."""
    return next(filter(lambda path: Path(path).exists(), PROVIDERS), None)
