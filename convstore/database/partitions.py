"""A new database's first tables, with that of messages in partitions."""

from __future__ import annotations

from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor

from convstore.database.vendors import vendor_for

FIRST_MIGRATION = ("convstore", "0001_initial")
FEWEST, MOST = 2, 256
ELSEWHERE = "create a new database with {number} and copy the messages"


class CannotPartition(Exception):
    """The table of messages cannot be in so many partitions; the sentence says why."""


def make_partitions(alias: str, number: int) -> bool:
    """Make the first tables with `number` partitions; whether they were not there already.

    All is done, or nothing. Whoever calls it holds the migration lock. Raises CannotPartition.
    """
    vendor, connection = vendor_for(alias), connections[alias]
    if not FEWEST <= number <= MOST:
        raise CannotPartition(f"the number of partitions is {number}, not {FEWEST} to {MOST}")
    if vendor.partitions is None:
        raise CannotPartition(
            f"partitions are for PostgreSQL, and this database is {vendor.name}: migrate it"
            " without --partitions"
        )
    found = vendor.partitions.count(connection)
    if found == 0:
        raise CannotPartition(
            "the table of messages exists without partitions, and they cannot be added;"
            f" {ELSEWHERE.format(number=number)}"
        )
    if found not in (None, number):
        raise CannotPartition(
            f"the table of messages has {found} partitions, and cannot get {number};"
            f" {ELSEWHERE.format(number=number)}"
        )
    if found:
        return False
    with transaction.atomic(alias):
        MigrationExecutor(connection).migrate([FIRST_MIGRATION])
        vendor.partitions.divide(connection, number)
    return True
