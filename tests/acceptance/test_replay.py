"""A part of `make replay`: real conversations, several clients, read back and compared."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from testing.replay import Client, RequestFailed, chitchat, differences, replay
from tests.doors import JSON_DOORS, Door, at
from tests.length import times

pytestmark = pytest.mark.one_database

CONVERSATIONS = times(40, soak=200)


class DoorClient(Client):
    """A client that goes through a door of the tests."""

    def __init__(self, door: Door, memory: str) -> None:
        self.door = door
        self.memory = memory

    def close(self) -> None:
        pass

    def infer(self, document: dict[str, Any]) -> list[str]:
        reply = self.door.infer(document, self.memory)
        if reply.status != 200:
            raise RequestFailed(f"{reply.status} {reply.document}")
        return reply.history


@pytest.mark.soak
@at(*JSON_DOORS)
def test_real_conversations_come_back_as_they_were_sent(door):
    assert_exact(door.service.url)


@pytest.mark.soak
@at("grpc")
def test_real_conversations_come_back_as_they_were_sent_in_grpc(door):
    assert_exact("", connect=lambda _, memory: DoorClient(door, memory))


def assert_exact(url: str, **how: Any) -> None:
    """All of some conversations, sent and read back."""
    conversations = chitchat(CONVERSATIONS)
    summary = replay(url, "memory", conversations, **how)
    assert summary.exact, str(summary)
    assert summary.conversations == CONVERSATIONS
    assert summary.messages == sum(map(len, conversations)) > 25 * CONVERSATIONS


@pytest.mark.slow
def test_all_of_the_conversations_are_there():
    conversations = chitchat()
    assert len(conversations) == 7168
    assert sum(map(len, conversations)) == 258_145


@pytest.mark.parametrize(
    ("read", "found"),
    [
        ("abc", {}),
        ("ab", {"lost": 1}),
        ("", {"lost": 3}),
        ("abbc", {"doubled": 1}),
        ("acb", {"out of order": 2}),
        ("abd", {"lost": 1, "doubled": 1}),
    ],
)
def test_the_comparison_sees_what_is_wrong(read, found):
    assert +differences("abc", read) == Counter(found)
