"""`convstore keys create|list|revoke|rotate`: API keys, made, shown and ended.

A change and its entry in the audit log are one transaction.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from api_keys.caller import APPEND, READ, SCOPES
from api_keys.errors import KeyRefused
from api_keys.making import (
    KeyRow,
    KeyWish,
    all_keys,
    description_of,
    key_with_prefix,
    make_key,
    revoke_key,
    rights_of,
    rotate_key,
    state_of,
)
from api_keys.rows import USING
from convstore.request_log import quoted
from inspection.audit import Action, record_command
from memory_api.errors import SettingsError
from memory_api.memories import database_users, unknown_memories

OVERLAP_HOURS, MAX_OVERLAP_DAYS = 24, 365
COLUMNS = ("key", "name", "state", "rights", "expires", "last used")


class Command(BaseCommand):
    help = (
        "Make API keys, list them, revoke them, or replace one by a new one. A new key is written"
        " to standard output, once: only a hash of it is stored."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
        self.add_create(commands.add_parser("create", help="make a key"))
        commands.add_parser("list", help="show all keys, but not their secret part")
        revoke = commands.add_parser("revoke", help="end a key, within 5 seconds")
        revoke.add_argument("key", help="as 'list' shows it")
        rotate = commands.add_parser(
            "rotate", help="make a key with the same rights; the old one expires later"
        )
        rotate.add_argument("key", help="as 'list' shows it")
        rotate.add_argument(
            "--overlap",
            type=hours,
            default=timedelta(hours=OVERLAP_HOURS),
            metavar="HOURS",
            help=f"how long the old key stays valid; the default is {OVERLAP_HOURS}",
        )

    def add_create(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="whose key it is, for people")
        parser.add_argument(
            "--scopes",
            default=f"{READ},{APPEND}",
            help=f"comma-separated, out of {', '.join(SCOPES)}; the default is %(default)s",
        )
        parser.add_argument(
            "--memory",
            action="append",
            default=[],
            help="a memory that it may use; may be repeated; the default is all",
        )
        parser.add_argument(
            "--tenant", default="", help="whose conversations it sees, and no other"
        )
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="also if there are conversations already whose id begins with the tenant's name",
        )
        parser.add_argument("--rate", type=int, help="requests a second, in each process")
        parser.add_argument(
            "--expires", type=beginning_of, metavar="DATE", help="as in 2027-12-31, UTC"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        ways: dict[str, Callable[[dict[str, Any]], None]] = {
            "create": self.create,
            "list": self.list,
            "revoke": self.revoke,
            "rotate": self.rotate,
        }
        try:
            ways[options["what"]](options)
        except (KeyRefused, SettingsError) as error:
            raise CommandError(str(error)) from None

    def create(self, options: dict[str, Any]) -> None:
        for sentence in unknown_memories(options["memory"]):
            self.stderr.write(f"Note: {sentence}")
        wish = KeyWish(
            name=options["name"],
            scopes=[scope.strip() for scope in options["scopes"].split(",") if scope.strip()],
            memories=options["memory"],
            tenant=options["tenant"],
            adopt=options["adopt"],
            rate=options["rate"],
            expires_at=options["expires"],
        )
        with transaction.atomic(USING):
            row, text = make_key(wish, database_users())
            record_command(Action.KEY_MADE, description_of(row))
        self.show_once(row, text)

    def list(self, options: dict[str, Any]) -> None:
        lines = [COLUMNS, *(columns_of(row) for row in all_keys())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            self.stdout.write("  ".join(cells).rstrip())

    def revoke(self, options: dict[str, Any]) -> None:
        row = key_with_prefix(options["key"])
        with transaction.atomic(USING):
            record_command(Action.KEY_REVOKED, description_of(row))
            revoke_key(row)
        self.stdout.write(f"{row.prefix} is revoked; every process knows it within 5 seconds.")

    def rotate(self, options: dict[str, Any]) -> None:
        row = key_with_prefix(options["key"])
        with transaction.atomic(USING):
            new, text = rotate_key(row, options["overlap"])
            until = f"{row.prefix} stays valid until {row.expires_at:%Y-%m-%d %H:%M} UTC"
            record_command(Action.KEY_ROTATED, f"{description_of(new)}; {until}")
        self.show_once(new, text)
        self.stderr.write(f"{until}.")

    def show_once(self, row: KeyRow, text: str) -> None:
        """The key alone on standard output, so that a script can take it from there."""
        self.stderr.write(f"{row.prefix} may: {rights_of(row)}. Keep it: it is shown only now.")
        self.stdout.write(text)


def beginning_of(text: str) -> datetime:
    """When a day begins, in UTC."""
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date; write it like 2027-12-31") from None


def hours(text: str) -> timedelta:
    try:
        found = timedelta(hours=float(text))
    except (ValueError, OverflowError):
        found = timedelta(-1)
    if not timedelta() <= found <= timedelta(days=MAX_OVERLAP_DAYS):
        most = MAX_OVERLAP_DAYS * 24
        raise ArgumentTypeError(f"{text!r} is no number of hours; write one from 0 to {most}")
    return found


def columns_of(row: KeyRow) -> tuple[str, ...]:
    name = row.name if row.name.isascii() else quoted(row.name)
    state = state_of(row, datetime.now(UTC))
    ends = [f"{at:%Y-%m-%d %H:%M}" if at else "never" for at in (row.expires_at, row.last_used_at)]
    return (row.prefix, name, state, rights_of(row), *ends)
