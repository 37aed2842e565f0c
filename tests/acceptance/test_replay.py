"""A part of `make replay`: real conversations, several clients, read back and compared."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.replay import chitchat, differences, replay

CONVERSATIONS = 200


def test_real_conversations_come_back_as_they_were_sent(service):
    conversations = chitchat(CONVERSATIONS)
    summary = replay(service.url, "memory", conversations)
    assert summary.exact, str(summary)
    assert summary.conversations == CONVERSATIONS
    assert summary.messages == sum(map(len, conversations)) > 5000


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
