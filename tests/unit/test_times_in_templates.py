"""Pages show times in the reader's time zone: each is a `time` element."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATES = Path("inspection/templates")
# A format of a time of day, outside of the value of a field or an attribute.
CLOCK = re.compile(r'\|(?:date|time):"[^"]*[Hhfgi][^"]*"')


def test_no_page_writes_a_time_by_itself():
    pages = [path for path in TEMPLATES.rglob("*.html") if path.parent.name != "export"]
    assert pages
    found = [f"{path}: {each}" for path in pages for each in CLOCK.findall(path.read_text())]
    assert found == []


def test_every_page_with_times_has_their_script():
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        if "time_element" in text and "{% extends" in text:
            base = "inspection/base.html" in text or "inspection/list.html" in text
            assert base or "times.js" in text, path
    for name in ("base.html", "list.html"):
        assert "times.js" in (TEMPLATES / "inspection" / name).read_text()
