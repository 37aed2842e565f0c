"""`convstore words on|off|status`: whether messages are stored with the text that searches read."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from convstore.archive.word_switch import (
    LEARNED_SECONDS,
    fill_step,
    make_word_index,
    turn_words_off,
    turn_words_on,
    word_status,
)
from convstore.conf import database_timeout
from convstore.database.faults import classify
from convstore.database.migration_lock import without_time_limits
from memory_api.errors import SettingsError
from memory_api.memories import database_users, passed_over_memories

# How often the command says how far it came, in seconds.
SAY_EVERY = 5


class Command(BaseCommand):
    help = (
        "Say, for every database, whether messages are stored with the text that searches read;"
        " turn it on, which also fills older messages and makes PostgreSQL's index of words; or"
        " turn it off, which drops the index. It can be interrupted and run again."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["on", "off", "status"])
        parser.add_argument(
            "--wait",
            type=int,
            default=LEARNED_SECONDS + database_timeout(),
            help="For how many seconds 'on' waits until every process of the service has learned"
            " of it; 0 is enough where none runs. The default is %(default)s.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            users = database_users()
        except SettingsError as error:
            raise CommandError(str(error), returncode=2) from None
        for sentence in passed_over_memories():
            self.stderr.write(sentence)
        failures = []
        for using, user in users.items():
            try:
                self.turn(using, user, options["what"], options["wait"])
            except Error as error:
                failures.append(f"{user}: {failure(using, error)}")
        if failures:
            raise CommandError("\n".join(failures))

    def turn(self, using: str, user: str, what: str, wait: int) -> None:
        """Turn words on or off in one database, and say what there is then."""
        with without_time_limits(using):
            if what == "on":
                self.turn_on(using, user, wait)
            elif what == "off":
                turn_words_off(using)
            self.say_status(using, user)

    def turn_on(self, using: str, user: str, wait: int) -> None:
        turn_words_on(using)
        if not word_status(using).filled:
            # A process that does not know yet could add a message without words behind the filling.
            time.sleep(wait)
            self.fill(using, user)
        make_word_index(using)

    def fill(self, using: str, user: str) -> None:
        looked_at, said_at = 0, time.monotonic()
        while step := fill_step(using):
            looked_at += step
            if time.monotonic() - said_at > SAY_EVERY:
                self.say(user, f"{looked_at:,} messages looked at ...")
                said_at = time.monotonic()

    def say_status(self, using: str, user: str) -> None:
        status = word_status(using)
        if not status.enabled:
            text = "off"
        elif not status.filled:
            text = "on, but older messages are not filled yet: run 'convstore words on' again"
        else:
            text = "on, and older messages are filled"
        self.say(user, f"{text}; {status.index}" if status.index else text)

    def say(self, user: str, text: str) -> None:
        self.stdout.write(f"{user}: {text}")


def failure(using: str, error: Error) -> str:
    """What the database said, on one line, behind what it means if that is known."""
    fault = classify(using, error) if error.__cause__ else None
    text = " ".join(str(error).split())
    return f"{fault.sentence}: {text}" if fault else text
