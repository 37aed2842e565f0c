"""Markdown of messages as harmless HTML.

The parser escapes all HTML in the text. Its output then goes through an allow-list of tags,
attributes and URL schemes, in case the parser overlooked something.
"""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt

# The longest text, in characters, that is rendered; parsing a longer one could take seconds.
LONGEST = 10_000
# The most characters that one page renders, for the same reason; above, it renders no text.
LONGEST_PAGE = 200_000

TAGS = {"a", "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li"}
TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
# A browser would load an image from any server that the text names; it becomes a link instead.
PARSER = MarkdownIt("js-default", {"html": False, "linkify": False, "breaks": True})
PARSER.disable("image")


def as_html(text: str) -> str:
    """The text's Markdown (CommonMark and tables) as HTML, without styles, scripts and images."""
    return nh3.clean(
        PARSER.render(text),
        tags=TAGS,
        attribute_filter=_keep_web_links,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _keep_web_links(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute; None drops it. A relative link would lead into the admin."""
    absolute = re.match(r"https?://|mailto:", value, re.IGNORECASE)
    return value if name != "href" or absolute else None
