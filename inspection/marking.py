"""Mark the words of a search: in texts, and in the texts of HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from convstore.archive.hits import excerpt
from convstore.escaping import escape_controls
from convstore.words import fold_text, word_segments

# A tag of our own HTML, in which every `<` of a text is escaped.
TAG = re.compile(r"""(<(?:[^>"']|"[^"]*"|'[^']*')*>)""")
MARKED = re.compile("<mark>(.*?)</mark>", re.DOTALL)
# Marking compares character by character; in a longer message, only the beginning has marks.
MAX_MARKED = 500_000


def mark_text(text: str, words: Sequence[str]) -> SafeString:
    """The text as HTML, with each of the folded words in a `mark` element."""
    segments = (
        ("<mark>" if is_word else "", escape_controls(segment), "</mark>" if is_word else "")
        for is_word, segment in word_segments(text, words)
    )
    html = ((SafeString(begin), segment, SafeString(end)) for begin, segment, end in segments)
    return format_html_join("", "{}{}{}", html)


def mark_message(html: str, words: Sequence[str], text: str) -> SafeString:
    """The HTML of a message with marks in its texts, none of its tags changed.

    A word that the page does not show, since it is too far on, is shown in an excerpt of `text`.
    """
    pieces = TAG.split(html)  # texts and tags in turn
    left = MAX_MARKED
    for n in range(0, len(pieces), 2):
        if left > 0 and not pieces[n].isspace():
            pieces[n] = mark_text(unescape(pieces[n]), words)
            left -= len(pieces[n])
    shown = "".join(pieces)
    found = [fold_text(unescape(each)) for each in MARKED.findall(shown)]
    missing = [word for word in words if not any(word in each for each in found)]
    if missing and (around := excerpt(text, missing)):
        further = '<p class="text further" dir="auto"><span class="quiet">Found here:</span> {}</p>'
        shown = format_html(further, mark_text(around, words)) + shown
    return SafeString(shown)
