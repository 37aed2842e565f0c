"""Markdown of messages as HTML that does nothing but be read.

The parser passes no HTML of the text's own on; what it makes is then cut down to an
allow-list of tags, attributes and schemes, whatever the parser may have overlooked.
"""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt

# In characters; a longer text is shown as it is, since parsing could take seconds.
LONGEST = 10_000
# The most of one page, for the same reason; with more of it all texts are shown as they are.
LONGEST_PAGE = 200_000

TAGS = {"a", "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li"}
TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
# An image would be fetched from whatever place the text names; its link is kept.
PARSER = MarkdownIt("js-default", {"html": False, "linkify": False, "breaks": True})
PARSER.disable("image")


def as_html(text: str) -> str:
    """HTML of the text's Markdown (CommonMark and tables), with no style, script or image."""
    return nh3.clean(
        PARSER.render(text),
        tags=TAGS,
        attribute_filter=_on_the_web,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _on_the_web(tag: str, name: str, value: str) -> str | None:
    """An address of the admin itself is none that a message may lead to."""
    leads_on = re.match(r"https?://|mailto:", value, re.IGNORECASE)
    return value if name != "href" or leads_on else None
