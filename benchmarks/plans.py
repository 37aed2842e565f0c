"""What a database says of how it runs a statement, in a few words."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from django.db import connections

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "mysql": "EXPLAIN FORMAT=JSON "}
# What a plan says of the indexes that it reads, and of tables that it reads whole, or sorts. To
# sort the rows of one page is no cost.
INDEX = {
    "sqlite": r"USING (?:COVERING )?INDEX (\w+)",
    "postgresql": r"Index (?:Only )?Scan (?:Backward )?(?:using|on) (\w+)",
    "mysql": r'"key": "(\w+)"',
}
COSTLY = {
    "sqlite": r"SCAN \w+(?! USING)\b|USE TEMP B-TREE FOR ORDER BY",
    "postgresql": r"Seq Scan on \w+|(?<!Incremental )\bSort(?=  \(cost=\S+ rows=\d{3})",
    "mysql": r'"access_type": "ALL"|"filesort"',
}


def plan_of(alias: str, statement: str) -> str:
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(EXPLAIN.get(connection.vendor, "EXPLAIN ") + statement, None)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def refuse_blindness(alias: str) -> None:
    """End the program unless a statement that reads a whole table to sort it is seen as costly."""
    plan = plan_of(alias, "SELECT * FROM convstore_conversation ORDER BY metadata")
    if len(re.findall(COSTLY[connections[alias].vendor], plan)) < 2:
        sys.exit(f"nothing costly is found in the plan {plan}")


def summary(alias: str, plans: Sequence[str]) -> str:
    """The indexes that the plans read, and what is costly in them."""
    vendor, found = connections[alias].vendor, list[str]()
    for plan in plans:
        found += re.findall(INDEX[vendor], plan)
        found += [f"**{each}**".replace('"', "") for each in re.findall(COSTLY[vendor], plan)]
    return ", ".join(name.replace("convstore_", "") for name in dict.fromkeys(found))
