"""Which known name is suggested for an unknown one."""

from __future__ import annotations

import pytest

from memory_api.did_you_mean import did_you_mean

KNOWN = ("name", "config", "tool_call_id", "tool_calls", "window_size", "maxTokens")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nmae", "name"),
        ("confg", "config"),
        ("Tool-Call-ID", "tool_call_id"),
        ("tool_call", "tool_calls"),
        ("WINDOWSIZE", "window_size"),
        ("max_tokens", "maxTokens"),
    ],
)
def test_a_name_that_is_like_a_known_one_gets_it_as_a_suggestion(name: str, meant: str) -> None:
    assert did_you_mean(name, KNOWN) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("name", ["", "secret", "x" * 1_000_000])
def test_a_name_that_is_like_none_gets_no_suggestion(name: str) -> None:
    assert did_you_mean(name, KNOWN) == ""
