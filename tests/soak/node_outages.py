"""What may be done to a Galera cluster; each returns when all nodes are there again."""

from __future__ import annotations

import time

import psutil

from testing.galera import Galera, Node, wait_until
from tests.length import times

SECONDS_DOWN = times(1, soak=5)
# Longer than the others wait for a node, and than a service waits for an answer.
SECONDS_FROZEN = 10


def kill(cluster: Galera, node: Node) -> None:
    cluster.kill(node)
    time.sleep(SECONDS_DOWN)
    node.start()
    cluster.wait_until_whole()


def cut_off(node: Node) -> None:
    with node.cut_off():
        time.sleep(SECONDS_DOWN)


def freeze(node: Node) -> None:
    """As a machine that hangs: its connections stay, and nothing comes."""
    process = psutil.Process(node.process.pid)
    process.suspend()
    time.sleep(SECONDS_FROZEN)
    process.resume()
    wait_until(node.is_synced)


def lose_quorum(cluster: Galera, survivor: Node) -> None:
    """Kill the others; an operator tells the survivor that it is the cluster, and starts them."""
    others = [node for node in cluster.nodes if node is not survivor]
    for node in others:
        node.kill()
    wait_until(survivor.is_alone)
    time.sleep(SECONDS_DOWN)
    survivor.bootstrap()
    for node in others:
        node.start()
    cluster.wait_until_whole()
