"""HAProxy in front of a Galera cluster: one node at a time gets all connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import pymysql

from testing.galera import Node, wait_until
from testing.haproxy import HaProxy


class GaleraProxy(HaProxy):
    """A proxy on loopback, with the configuration of the docs and the script by which it checks."""

    def __init__(self, configuration: str, check: str, nodes: Sequence[Node]) -> None:
        addresses = {
            f"10.0.0.{n}:3306": f"127.0.0.1:{node.port}" for n, node in enumerate(nodes, 1)
        }
        super().__init__(configuration, "127.0.0.1:3306", addresses)
        self.nodes = nodes
        script, settings = self.folder / "check", self.folder / "settings"
        script.write_text(check)
        script.chmod(0o755)
        settings.write_text(settings.read_text().replace("/etc/haproxy/galera-check", str(script)))

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.nodes[0].execute("CREATE USER IF NOT EXISTS haproxy@'%'")
        return super().__enter__()

    def wait_until_it_answers(self) -> None:
        wait_until(lambda: self.leads_to(self.nodes[0]))

    def leads_to(self, node: Node) -> bool:
        """Whether a new connection leads to that node."""
        try:
            with pymysql.connect(host="127.0.0.1", port=self.port, user="root") as connection:
                cursor = connection.cursor()
                cursor.execute("SELECT @@port")
                return cursor.fetchone() == (node.port,)
        except pymysql.MySQLError:
            return False
