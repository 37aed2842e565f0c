"""Times as HTML: in UTC, until a script of the page shows them in the reader's time zone."""

from __future__ import annotations

from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString


def time_element(at: datetime, form: str = "") -> SafeString:
    """A `time` element. `form` is how the script times.js shows it."""
    text = f"{at.day} {at:%b %Y, %H:%M:%S} UTC"
    return format_html(
        '<time datetime="{}" data-form="{}" title="{}">{}</time>', at.isoformat(), form, text, text
    )
