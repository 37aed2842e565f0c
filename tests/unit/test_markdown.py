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
        '<pre><code>print(<span class="hl-number">1</span> &lt; ',
        "<th>a</th>",
        '<a href="https://example.org" title="title" rel="noopener noreferrer nofollow">',
    ):
        assert fragment in html


def test_math_is_shown_as_it_is_written():
    html = render_markdown(r"So \(x_1*y*\) and \[ a\\b \] and $$*z*$$, but \*this\* is no \(math")
    for math in (r"\(x_1*y*\)", r"\[ a\\b \]", "$$*z*$$"):
        assert f'<span class="math">{math}</span>' in html
    assert html.endswith(", but *this* is no (math</p>\n")


def test_tasks_are_boxes():
    html = render_markdown("- [x] bread\n- [ ] milk\n\nnot [x] here")
    assert "<li>☑ bread</li>\n<li>☐ milk</li>" in html
    assert "not [x] here" in html


@pytest.mark.parametrize(
    ("text", "url", "rest"),
    [
        ("See https://x.test/a_b_c.", "https://x.test/a_b_c", "."),
        ("(https://x.test/a_(b))", "https://x.test/a_(b)", ")"),
        ("**https://x.test/?a=1&b=2**", "https://x.test/?a=1&amp;b=2", "</strong>"),
        ("看https://x.test/路。", "https://x.test/%E8%B7%AF", "。"),
    ],
)
def test_addresses_in_texts_are_links(text, url, rest):
    html = render_markdown(text)
    assert f'<a href="{url}" rel="noopener noreferrer nofollow">http' in html
    assert f"</a>{rest}" in html


def test_an_image_is_a_link_to_it():
    html = render_markdown("![a cat](https://x.test/cat.png) ![b](data:image/png;base64,AAAA)")
    assert (
        '<a href="https://x.test/cat.png" rel="noopener noreferrer nofollow">Image: a cat</a>'
        in html
    )
    assert "data:" not in html


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
