"""Marks of a search in the HTML of a message."""

from __future__ import annotations

import re

import pytest

from inspection.marking import mark_message


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>A <b>tea</b> &amp; Tea.</p>", "<p>A <b>{tea}</b> &amp; {Tea}.</p>"),
        ('<a href="/tea?a>b" title="tea">x &lt;tea&gt;</a>',) * 2,
        ("<p>TÉA and &lt;script&gt;tea</p>", "<p>{TÉA} and &lt;script&gt;{tea}</p>"),
        ("<pre>\n</pre>tea&amp;lt;", "<pre>\n</pre>{tea}&amp;lt;"),
    ],
)
def test_words_are_marked_in_texts_and_no_tag_changes(html, shown):
    if shown is html:
        shown = html.replace("&lt;tea", "&lt;{tea}")
    found = mark_message(html, ["tea"], "tea")
    assert found == re.sub(r"\{(.*?)\}", r"<mark>\1</mark>", shown)


def test_a_word_that_is_not_shown_is_in_an_excerpt():
    found = mark_message("<p>Green.</p>", ["green", "tea"], "Green. " + "x " * 9_000 + "<b> tea")
    assert found.endswith("<p><mark>Green</mark>.</p>")
    assert "&lt;b&gt; <mark>tea</mark></p>" in found
    assert mark_message("<p>Tea.</p>", ["tea"], "tea") == "<p><mark>Tea</mark>.</p>"
