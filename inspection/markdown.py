"""Render the Markdown of messages as safe HTML.

The parser escapes all HTML in the text. An allow-list of tags, attributes and URL schemes is then
applied to its output, in case the parser has a fault.
"""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt

# The longest text, in characters, that is rendered: parsing a longer one could take seconds.
MAX_RENDERED = 10_000
# The most characters that one page renders, for the same reason. Above, the page renders no text.
MAX_RENDERED_ON_PAGE = 200_000

TAGS = {"a", "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li"}
TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
# The text could name any server, from which a browser would load the image. It becomes a link.
PARSER = MarkdownIt("js-default", {"html": False, "linkify": False, "breaks": True})
PARSER.disable("image")


def render_markdown(text: str) -> str:
    """The Markdown (CommonMark and tables) as HTML without styles, scripts and images."""
    return nh3.clean(
        PARSER.render(text),
        tags=TAGS,
        attribute_filter=_keep_web_links,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _keep_web_links(tag: str, name: str, value: str) -> str | None:
    """The attribute's value, or None to remove it: a relative link would lead into the admin."""
    absolute = re.match(r"https?://|mailto:", value, re.IGNORECASE)
    return value if name != "href" or absolute else None
