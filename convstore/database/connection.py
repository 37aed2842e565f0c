"""The connection to a database, opened before its first use."""

from __future__ import annotations

from typing import Any

from django.db import Error, connections

from convstore.errors import Unavailable


def open_connection(alias: str) -> Any:
    """Django's connection to the database `alias`, open. Raises Unavailable."""
    connection = connections[alias]
    try:
        connection.ensure_connection()
    except Error as error:
        raise Unavailable("the database cannot be reached") from error
    return connection
