"""Tags and filters for the admin's templates: URLs of pages, escaped text, marked words, links."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from html import unescape
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join, strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from convstore.escaping import escape_controls, escape_json
from convstore.messages import dumps
from inspection.addresses import split_addresses
from inspection.marking import mark_message, mark_text
from inspection.times import time_element
from inspection.views import hits, pages

register = template.Library()
register.filter("escape_controls", escape_controls)
register.simple_tag(time_element)


@register.simple_tag(takes_context=True)
def page_url(context: dict[str, Any], name: str, *args: object, **parameters: object) -> str:
    """The URL of a page about conversations, in the database of the current page."""
    return pages.page_url(context["database"], name, *args, **parameters)


@register.simple_tag(takes_context=True)
def coloured_json(context: dict[str, Any], text: str) -> SafeString:
    """JSON as HTML, coloured as long as the page's highlighter has time for it."""
    return SafeString(context["highlighter"].html(text, "json"))


@register.filter
def in_minutes(duration: timedelta) -> int:
    return round(duration / timedelta(minutes=1))


@register.filter
def with_links(text: str) -> SafeString:
    """The text as HTML, with links for the addresses on the web in it."""
    return format_html_join("", "{}", ((_link(*piece),) for piece in split_addresses(text)))


def _link(text: str, url: str) -> SafeString | str:
    if not url:
        return text
    return format_html('<a href="{}" rel="noopener noreferrer nofollow">{}</a>', url, text)


@register.filter
def json_string(text: str) -> str:
    """The text as JSON, in which a page holds characters that act, for its scripts alone."""
    return escape_json(dumps(text))


register.filter("mark_words", mark_text)


@register.simple_tag
def labelled_cell(cell: str, headers: Sequence[dict[str, Any]], number: int) -> SafeString:
    """A cell of a list with the name of its column, for phones, where each row is a block.

    A browser takes such a row for no row any more, so that the roles have to be said.
    """
    title = capfirst(strip_tags(str(headers[number]["text"])).strip())
    is_empty = not (strip_tags(unescape(cell)).strip() or "<input" in cell)
    about = "data-empty" if is_empty else format_html('data-label="{}"', title)
    tag, role = cell[1:3], "rowheader" if cell.startswith("<th") else "cell"
    return SafeString(f'<{tag} role="{role}" {about}{cell[3:]}')


@register.simple_block_tag(takes_context=True)
def marked_hit(context: dict[str, Any], content: SafeString, message: Any) -> SafeString:
    """The HTML of a message, with marks if a search led to it."""
    hit = context.get("hit")
    if hit is None or hit.position != message.position:
        return content
    return mark_message(content, hit.words, hit.text)


@register.inclusion_tag("inspection/hit_links.html", takes_context=True)
def hit_links(context: dict[str, Any]) -> dict[str, Any]:
    """Links to the previous and the next hit and to the results, where a search led to the page."""
    return {"links": hits.links_of(context["request"], context.get("database"))}
