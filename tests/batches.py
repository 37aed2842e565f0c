"""The batch of statements that a server runs where it has no functions or procedures."""

from __future__ import annotations

from django.db import connections

from convstore.exchange.mysql import MySqlBatch
from convstore.exchange.postgresql import PostgresBatch
from convstore.exchange.statements import Statements


def batch_for(using: str) -> Statements:
    variant = MySqlBatch if connections[using].vendor == "mysql" else PostgresBatch
    return variant(using)
