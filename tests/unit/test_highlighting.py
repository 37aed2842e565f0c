"""Code is coloured with classes, and never takes long."""

from __future__ import annotations

import html
import random
import re
import subprocess
import sys
from functools import partial

import pytest

from inspection.highlighting import SECONDS_PER_PAGE, Highlighter
from testing.processes import ROOT
from tests.cost import cpu_seconds
from tests.length import times

# Each takes seconds in Pygments, if all of it is coloured.
SLOW = [("csharp", "a\n"), ("java", "a b c d e\n"), ("cpp", "\n"), ("c", " "), ("python", "\n ")]


def test_the_kinds_of_words_have_classes():
    coloured = Highlighter().html('def a() -> int:\n    return "<b>"  # why', "python")
    assert '<span class="hl-keyword">def</span> <span class="hl-name">a</span>' in coloured
    assert '<span class="hl-string">&lt;b&gt;</span>' in coloured
    assert '<span class="hl-comment"># why</span>' in coloured


@pytest.mark.parametrize("language", ["", "nosuch", "text", "brainfuck"])
def test_code_in_another_language_is_plain(language):
    assert Highlighter().html("if <b>", language) == "if &lt;b&gt;"


@pytest.mark.parametrize(("language", "pattern"), SLOW)
def test_slow_code_keeps_its_text_and_takes_no_longer_than_a_page_may(language, pattern):
    code = f"x {pattern * 3_000}x"
    highlighter = Highlighter()
    limit = 3 * SECONDS_PER_PAGE
    assert cpu_seconds(partial(highlighter.html, code, language), limit=limit) < limit
    coloured = highlighter.html(code, language)
    assert html.unescape(re.sub(r"<[^>]*>", "", coloured)) == code


@pytest.mark.soak
def test_any_text_in_any_language_keeps_to_its_limit_and_its_text():
    seed = random.SystemRandom().randrange(times(1, soak=10**6))
    arguments = [str(seed), str(times(3, soak=200)), "0.01"]
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.colouring", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    last = child.stdout.splitlines()[-1:]
    assert last == ["done"], f"{arguments}: {child.returncode} at {last}\n{child.stderr}"
