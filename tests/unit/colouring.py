"""Colours texts that are made to be hard for lexers, each with a limit; run as a process.

The arguments are a seed, how many texts there are for each language, and the seconds of CPU time
that each may take. The limit of the process is that of the system, which also ends a regular
expression that goes on and on. Each text is named before it is coloured, so that the last name in
the output is that of the text that took too long.
"""

from __future__ import annotations

import html
import random
import re
import resource
import sys
from collections.abc import Iterator

from inspection.highlighting import LANGUAGES, Highlighter
from inspection.markdown import MAX_RENDERED

# What begins, ends or separates something in some language.
WORDS = """
a b if def class function select import case begin end r f e x 0 1e 0x é
( ) { } [ ] {{ }} < > </ <a <!-- --> <?php <script> <style> ' " ''' \"\"\" ` ``` r" f' \\
/ // /* */ * # $ ${ = : :: - -- --- @ ! ? % & | ~ ; , . ..
"""
BLANKS = [" ", "  ", "\t", "\n", "\n\n", "\r", "\\\n", "- ", "? ", ": ", "<<EOF\n"]
FRAGMENTS = [*WORDS.split(), *BLANKS]
NAMES = re.sub(r"\\", "", LANGUAGES.pattern).split("|")
# What the interpreter takes to start, and a whole page for the text at which the process ends.
SPARE_SECONDS = 20


def texts(seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Languages, and texts of a few fragments again and again: in short lines, or in one."""
    dice = random.Random(seed)
    for language in NAMES:
        for _ in range(count):
            begin = "".join(dice.choices(FRAGMENTS, k=dice.randint(0, 3)))
            again = "".join(dice.choices(FRAGMENTS, k=dice.randint(1, 5)))
            if dice.random() < 0.5:
                again = (again * 400)[: dice.randint(1, 480)] + "\n"
            yield language, (begin + again * MAX_RENDERED)[:MAX_RENDERED]


def main(seed: int, count: int, seconds: float) -> None:
    limit = SPARE_SECONDS + int(2 * seconds * count * len(NAMES))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    for language, text in texts(seed, count):
        print(language, ascii(text[:60]), flush=True)  # noqa: T201 - the report of this process
        coloured = Highlighter(seconds).html(text, language)
        assert html.unescape(re.sub(r"<[^>]*>", "", coloured)) == text
    print("done")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
