"""Control characters are escaped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.escaping import beginning_of_indented_json, escape_controls, escape_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 你好, مرحبا 🙂\n\tnext", "plain, é, 你好, مرحبا 🙂\n\tnext"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b31m", "[U+009B]31m"),
        ("nul \0, delete \x7f", "nul ␀, delete ␡"),
        ("abc\u202etxt.exe", "abc[U+202E]txt.exe"),
        ("half \ud83d of a letter", "half [U+D83D] of a letter"),
        ("two\r\nlines, and a\rreturn", "two\nlines, and a␍return"),
    ],
)
def test_control_characters_are_shown_by_name(text, shown):
    assert escape_controls(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_escaped_text_can_be_encoded_and_has_no_control_characters(text):
    shown = escape_controls(text)
    shown.encode()
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert not any(0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in shown)


@given(st.text(st.characters(exclude_categories=[])), st.booleans())
def test_escaped_json_has_the_same_value(text, escaped):
    inert = escape_json(json.dumps([text], ensure_ascii=escaped))
    assert json.loads(inert) == [text]
    assert escape_controls(inert) == inert


@pytest.mark.parametrize("count", [3, 30_000])
def test_json_of_any_length_is_indented_up_to_a_limit(count):
    text = json.dumps({"said": ["word \ud83d", 1] * count})
    whole = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    for limit in (50, 10_000):
        assert beginning_of_indented_json(text, limit) == whole[:limit]


@pytest.mark.parametrize("text", ["no JSON", '{"a": 1, "a": 2}', "[" * 5_000 + "]" * 5_000])
def test_what_would_change_when_it_is_indented_stays_as_it_is(text):
    assert beginning_of_indented_json(text, 9_000) == text[:9_000]
