"""Code is coloured with classes, and never takes long."""

from __future__ import annotations

import html
import itertools
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


def colour_ten_words(pattern: str, times: int, language: str) -> str:
    """Colour code by a clock that takes a tenth of the time of a page for each word."""
    clock = itertools.count(step=SECONDS_PER_PAGE / 10)
    return Highlighter(clock=lambda: next(clock)).html(f"x {pattern * times}x", language)


@pytest.mark.parametrize(("language", "pattern"), SLOW)
def test_slow_code_keeps_its_text_and_is_plain_once_the_time_of_a_page_is_over(language, pattern):
    coloured = colour_ten_words(pattern, 3_000, language)
    assert html.unescape(re.sub(r"<[^>]*>", "", coloured)) == f"x {pattern * 3_000}x"
    assert coloured.count("<span") <= 11
    assert "<span" not in coloured[1_000:]
    # No word takes longer than its length explains.
    short, long = (
        cpu_seconds(partial(colour_ten_words, pattern, times, language)) for times in (300, 3_000)
    )
    assert long < 30 * short  # 100 times, if the time grew with the square


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
