"""What the tests of functions and procedures share: each has an empty database of its own."""

from __future__ import annotations

import json
from typing import Any

from django.core.management import call_command
from django.db import connections

from convstore.exchange.statements import StoredMessage
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part


def say(text: str, role: str = "user") -> list[Message]:
    return [Message(role, [Part("text", text)])]


def texts(window: list[StoredMessage]) -> list[str]:
    return [json.loads(message.body)["content"][0]["value"] for message in window]


def migrate(alias: str, *target: str) -> None:
    call_command("migrate", "convstore", *target, database=alias, verbosity=0)


def execute(alias: str, statement: str) -> Any:
    """Run a statement by Django's connection; its rows."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, None)
        return cursor.fetchall() if cursor.description else []


def variant(alias: str) -> type:
    """What runs the next exchange."""
    return type(statements_for(alias))
