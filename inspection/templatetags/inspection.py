"""What templates of the admin need: addresses in a database, and text that is inert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import conditional_escape, format_html_join
from django.utils.safestring import SafeString

from inspection.inert import visible as _visible

register = template.Library()
register.filter("visible", _visible)


@register.simple_tag(takes_context=True)
def address(context: dict[str, Any], name: str, *args: object, **parameters: object) -> str:
    """The address of a page of conversations, in the page's own database."""
    path = reverse(f"admin:convstore_conversation_{name}", args=args)
    return str(context["database"].address(path, **parameters))


@register.filter
def marked(text: str, words: Sequence[str]) -> SafeString:
    """The text with each of the words in a `mark`."""
    wanted = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
    pieces, end = [], 0
    for found in wanted.finditer(text):
        pieces += [("", text[end : found.start()]), ("mark", found[0])]
        end = found.end()
    pieces.append(("", text[end:]))
    return format_html_join("", "{}", ((_piece(*piece),) for piece in pieces))


def _piece(tag: str, text: str) -> SafeString:
    inner = conditional_escape(_visible(text))
    return SafeString(f"<{tag}>{inner}</{tag}>") if tag else SafeString(inner)
