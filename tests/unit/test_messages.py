"""The JSON form of a message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.messages import Message, Part

FIELDS = ("role", "content")
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]))


def test_a_message_is_spelled_as_the_protocol_prints_it():
    message = Message("user", (Part("text", "Hey how are you?"),))
    expected = '{"role": "user", "content": [{"type": "text", "value": "Hey how are you?"}]}'
    assert message.to_json() == expected


def test_what_else_belongs_to_a_message_follows_the_content():
    message = Message("assistant", (), {"tool_calls": [{"id": "1"}], "name": ["x"]})
    expected = '{"role": "assistant", "content": [], "tool_calls": [{"id": "1"}], "name": ["x"]}'
    assert message.to_json() == expected


def test_text_is_utf8_and_not_escaped():
    assert "é😀漢" in Message("user", (Part("text", "é😀漢"),)).to_json()


def test_a_message_that_is_not_utf8_is_escaped_whole():
    text = Message("user", (Part("text", "é\ud800"),)).to_json()
    assert "\\u00e9\\ud800" in text
    assert text.isascii()


def test_a_nul_is_escaped_so_that_every_database_takes_it():
    assert "\0" not in Message("user", (Part("text", "a\0b"),)).to_json()


@given(role=ANY_TEXT, kind=ANY_TEXT, value=ANY_TEXT)
def test_any_text_comes_back_from_the_json_form(role, kind, value):
    text = Message(role, (Part(kind, value),)).to_json()
    text.encode()
    expected = {"role": role, "content": [{"type": kind, "value": value}]}
    assert json.loads(text) == expected


EXTRA = st.dictionaries(
    st.sampled_from(["tool_calls", "name"]) | ANY_TEXT.filter(lambda name: name not in FIELDS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
        max_leaves=6,
    ),
)


@given(role=ANY_TEXT, parts=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=3), extra=EXTRA)
def test_the_json_form_is_spelled_as_pythons_json_spells_it(role, parts, extra):
    content = [{"type": kind, "value": value} for kind, value in parts]
    element = {"role": role, "content": content, **extra}
    expected = json.dumps(element, ensure_ascii=False)
    try:
        expected.encode()
    except UnicodeEncodeError:
        expected = json.dumps(element)
    assert Message(role, [Part(*pair) for pair in parts], extra).to_json() == expected


@pytest.mark.parametrize("other", [Message("user", ()), Message("user", (Part("text", "b"),))])
def test_messages_are_values(other):
    message = Message("user", (Part("text", "a"),))
    assert message == Message("user", (Part("text", "a"),))
    assert message != other
