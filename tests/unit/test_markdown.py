"""Markdown of messages is rendered as safe HTML."""

from __future__ import annotations

import pytest

from inspection.markdown import render_markdown


def test_markdown_that_models_write_is_rendered():
    html = render_markdown(
        "# Title\n\nSome *soft*, **strong** and ~~gone~~ words,\nand a `word`.\n\n"
        "- one\n- two\n\n3. three\n\n> quoted\n\n```python\nprint(1 < 2)\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n[a link](https://example.org 'title')\n"
    )
    for fragment in (
        "<h1>Title</h1>",
        "<em>soft</em>",
        "<strong>strong</strong>",
        "<s>gone</s>",
        "<br>",
        "<code>word</code>",
        "<li>two</li>",
        '<ol start="3">',
        "<blockquote>",
        "<pre><code>print(1 &lt; 2)\n</code></pre>",
        "<th>a</th>",
        '<a href="https://example.org" title="title" rel="noopener noreferrer nofollow">',
    ):
        assert fragment in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java&#115;cript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:alert(1))",
        "<javascript:alert(1)>",
        "[x]\n\n[x]: javascript:alert(1)",
        "![x](https://example.org/tracker.png)",
        "![x](data:image/png;base64,AAAA)",
        "<svg onload=alert(1)>",
        "[x](file:///etc/passwd)",
        '[x](https://example.org "onmouseover=alert(1)")',
    ],
)
def test_rendered_markdown_runs_and_loads_nothing(text):
    html = render_markdown(text)
    assert "<script" not in html
    assert "<img" not in html
    assert "<svg" not in html
    assert 'href="java' not in html.lower()
    assert 'href="data' not in html
    assert 'href="vb' not in html
    assert 'href="file' not in html
    assert " onerror=" not in html.replace("&lt;img src=x onerror=alert(1)&gt;", "")
