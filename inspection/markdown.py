"""Render the Markdown of messages as safe HTML.

The parser escapes all HTML in the text. An allow-list of tags, attributes and URL schemes is then
applied to its output, in case the parser has a fault.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from convstore.escaping import escape_controls
from inspection.addresses import split_addresses
from inspection.highlighting import CLASS_NAMES, Highlighter

# The longest beginning of a text, in characters, that is rendered: parsing takes time.
MAX_RENDERED = 10_000
# The most characters that one page renders, and for how many seconds of CPU time. The texts after
# that stay raw.
MAX_RENDERED_ON_PAGE, SECONDS_PER_PAGE = 200_000, 0.5

TAGS = {"a", "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li"}
TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "span"}
# Between these, TeX is shown as it is written: Markdown would take its backslashes and asterisks.
MATH = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"))
MAX_MATH = 1_000
TASK = re.compile(r"\[([ xX])\] ")


class PageRenderer:
    """Renders the texts of one page, as many as one page may render."""

    def __init__(self) -> None:
        self.highlighter = Highlighter()
        self.characters_left = MAX_RENDERED_ON_PAGE
        self.seconds_left = SECONDS_PER_PAGE

    def beginning(self, text: str) -> tuple[str, int] | None:
        """The beginning of a text as HTML, and of how many characters.

        None if the page has rendered enough, or if the text is much longer when its control
        characters are escaped.
        """
        if min(len(text), MAX_RENDERED) > self.characters_left or self.seconds_left <= 0:
            return None
        begun = time.thread_time()
        beginning = whole_blocks(text)
        escaped = escape_controls(beginning)
        html = render_markdown(escaped, self.highlighter) if len(escaped) <= MAX_RENDERED else None
        self.characters_left -= len(beginning)
        self.seconds_left -= time.thread_time() - begun
        return None if html is None else (html, len(beginning))


def render_markdown(text: str, highlighter: Highlighter | None = None) -> str:
    """The Markdown (CommonMark and tables) as HTML without styles, scripts and images."""
    return nh3.clean(
        PARSER.render(text, {"highlighter": highlighter or Highlighter()}),
        tags=TAGS,
        attribute_filter=_keep_web_links,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        allowed_classes={"span": {"math", *CLASS_NAMES}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def whole_blocks(text: str, limit: int = MAX_RENDERED) -> str:
    """The first `limit` characters or fewer: up to the end of a block of Markdown, or of a line.

    It ends between two blocks, unless that would leave out more than half.
    """
    if len(text) <= limit:
        return text
    beginning = text[:limit]
    blocks_at = (token.map[0] for token in BLOCKS.parse(beginning) if token.map and not token.level)
    blocks = "\n".join(beginning.split("\n")[: max(blocks_at, default=0)])
    if len(blocks) >= limit // 2:
        return blocks
    return beginning[: beginning.rfind("\n") + 1] or beginning


def _keep_web_links(tag: str, name: str, value: str) -> str | None:
    """The attribute's value, or None to remove it: a relative link would lead into the admin."""
    absolute = re.match(r"https?://|mailto:", value, re.IGNORECASE)
    return value if name != "href" or absolute else None


# --- What the parser does beside CommonMark ----------------------------------------------


def _parse_math(state: StateInline, silent: bool) -> bool:
    for opening, closing in MATH:
        if not state.src.startswith(opening, state.pos):
            continue
        end = state.src.find(closing, state.pos + 2, min(state.posMax, state.pos + MAX_MATH))
        if end < 0:
            return False
        if not silent:
            state.push("math", "span", 0).content = state.src[state.pos : end + 2]
        state.pos = end + 2
        return True
    return False


def _mark_tasks(state: StateCore) -> None:
    """Show `[x]` at the beginning of a list item as a box."""
    for item, _, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if item.type != "list_item_open" or not inline.children:
            continue
        first = inline.children[0]
        if first.type == "text" and (task := TASK.match(first.content)):
            first.content = ("☐ " if task[1] == " " else "☑ ") + first.content[task.end() :]


def _link_addresses(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline":
            token.children = list(_with_links(token.children or []))


def _with_links(children: Sequence[Token]) -> Iterator[Token]:
    """The parts of a paragraph, with links around the addresses in texts outside of links."""
    depth = 0
    for child in children:
        depth += child.nesting if child.type in ("link_open", "link_close") else 0
        if child.type != "text" or depth or "://" not in child.content:
            yield child
            continue
        for text, url in split_addresses(child.content):
            if url:
                yield Token("link_open", "a", 1, {"href": url})
            yield Token("text", "", 0, content=text)
            if url:
                yield Token("link_close", "a", -1)


def _render_math(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<span class="math">{escapeHtml(tokens[index].content)}</span>'


def _render_fence(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    language = (tokens[index].info.split() or [""])[0]
    return f"<pre><code>{env['highlighter'].html(tokens[index].content, language)}</code></pre>\n"


def _render_image_link(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    """A link: the text could name any server, from which a browser would load the image."""
    image = tokens[index]
    url = str(image.attrGet("src") or "")
    name = renderer.renderInlineAsText(image.children or [], options, env) or url
    return f'<a href="{escapeHtml(url)}">Image: {escapeHtml(name)}</a>'


def _parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False, "breaks": True})
    parser.inline.ruler.before("escape", "math", _parse_math)
    parser.core.ruler.push("tasks", _mark_tasks)
    parser.core.ruler.push("addresses", _link_addresses)
    parser.add_render_rule("math", _render_math)
    parser.add_render_rule("fence", _render_fence)
    parser.add_render_rule("image", _render_image_link)
    return parser


PARSER = _parser()
# Parses block structure only.
BLOCKS = MarkdownIt("js-default", {"html": False}).disable("inline")
