"""What `check` asks of a node of a Galera cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from convstore.database.server import fetch_row

VARIABLES = (
    "SHOW VARIABLES WHERE variable_name IN ('wsrep_on', 'wsrep_provider_options',"
    " 'wsrep_osu_method', 'wsrep_dirty_reads', 'wsrep_sync_wait', 'innodb_autoinc_lock_mode')"
)
SIZE = "SHOW STATUS LIKE 'wsrep_cluster_size'"
WITHOUT_A_KEY = """
SELECT table_name FROM information_schema.tables AS t
WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND NOT EXISTS (
  SELECT 1 FROM information_schema.table_constraints AS c
  WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name
    AND c.constraint_type = 'PRIMARY KEY')
ORDER BY table_name"""
# With one of these, both halves of a cluster that falls apart take writes.
SPLITTING = re.compile(r"\b(pc\.ignore_quorum|pc\.ignore_sb) = (?:true|yes|on|1)\b", re.IGNORECASE)
MIN_NODES = 3


def check_cluster(connection: Any) -> Iterator[CheckMessage]:
    """What is unsafe on a node; nothing, if the server is none."""
    with connection.cursor() as cursor:
        cursor.execute(VARIABLES)
        variables = {name.lower(): value for name, value in cursor.fetchall()}
        if variables.get("wsrep_on") != "ON":
            return
        cursor.execute(WITHOUT_A_KEY)
        tables = [name for (name,) in cursor.fetchall()]
    yield from _splits(variables["wsrep_provider_options"])
    yield from _unsafe_variables(variables)
    yield from _too_few_nodes(int(fetch_row(connection, SIZE)[1]))
    for table in tables:
        yield checks.Warning(
            f"its table {table} has no primary key, by which the nodes tell its rows apart.",
            hint=f"Give {table} a primary key, or move it to another database.",
            id="convstore.W018",
        )


def _splits(options: str) -> Iterator[CheckMessage]:
    for option in SPLITTING.findall(options):
        yield checks.Error(
            f"{option} is on: nodes that lose the others go on taking writes, which are lost"
            " when they come back.",
            hint=f"Take {option} out of wsrep_provider_options.",
            id="convstore.E010",
        )


def _unsafe_variables(variables: Mapping[str, str]) -> Iterator[CheckMessage]:
    if variables["wsrep_osu_method"] != "TOI":
        yield checks.Warning(
            f"wsrep_OSU_method is {variables['wsrep_osu_method']}: a migration changes the tables"
            " of one node only.",
            hint="SET GLOBAL wsrep_OSU_method = TOI on every node.",
            id="convstore.W013",
        )
    if variables["wsrep_dirty_reads"] == "ON":
        yield checks.Warning(
            "wsrep_dirty_reads is on: a node that has lost its cluster answers reads, without what"
            " the others have stored since.",
            hint="SET GLOBAL wsrep_dirty_reads = OFF on every node.",
            id="convstore.W014",
        )
    if not int(variables["wsrep_sync_wait"]) & 1:
        yield checks.Warning(
            "reads of one node may lack what was acknowledged at another one a moment ago.",
            hint="Set ENGINE to convstore.database.mysql, or SET GLOBAL wsrep_sync_wait = 1 on"
            " every node.",
            id="convstore.W015",
        )
    if variables["innodb_autoinc_lock_mode"] != "2":
        yield checks.Warning(
            f"innodb_autoinc_lock_mode is {variables['innodb_autoinc_lock_mode']}: writes of the"
            " admin can block what comes from other nodes.",
            hint="Write innodb_autoinc_lock_mode = 2 into the configuration of every node.",
            id="convstore.W016",
        )


def _too_few_nodes(size: int) -> Iterator[CheckMessage]:
    if size < MIN_NODES:
        yield checks.Warning(
            f"the cluster has {size} of at least {MIN_NODES} nodes: if one more is lost, no writes"
            " are taken.",
            hint="Start the missing nodes, or add one, such as the arbitrator garbd.",
            id="convstore.W017",
        )
