"""Which known name is suggested for an unknown one."""

from __future__ import annotations

import pytest

from memory_api.did_you_mean import did_you_mean, meant_name

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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nmae", "name"),
        ("nam", "name"),
        ("names", "name"),
        ("mame", "name"),
        ("Tool-Calls", "tool_calls"),
        ("toolcalls", "tool_calls"),
    ],
)
def test_a_name_is_misspelt_if_it_is_a_known_one_but_for_a_letter_or_case(name, meant) -> None:
    assert meant_name(name, KNOWN) == meant


def test_a_short_name_is_misspelt_only_in_its_case_and_dashes():
    known = ("x", "id")
    assert meant_name("X", known) == "x"
    assert meant_name("I_D", known) == "id"
    for name in ("y", "", "-", "it", "ids", "xy"):
        assert meant_name(name, known) == ""


@pytest.mark.parametrize("name", ["", "name", "nmea_", "toolcal", "configure", "size_window"])
def test_a_known_name_and_one_that_is_further_away_are_not_misspelt(name) -> None:
    assert meant_name(name, KNOWN) == ""
