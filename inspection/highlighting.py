"""Colour code: HTML in which a class says what kind of word each word is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from markdown_it.common.utils import escapeHtml
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String

# Python's regular expressions can take long for hostile code. So code with very long lines or
# runs of blanks stays plain, and so does the rest of a page that has taken this much CPU time.
SECONDS_PER_PAGE = 0.3
SLOW = re.compile(r"[^\n]{500}|\s{100}")
# The languages that are coloured, by the names that models write after a fence.
LANGUAGES = re.compile(
    r"bash|c|c#|c\+\+|console|cpp|cs|csharp|css|diff|docker|dockerfile|go|graphql|html|java"
    r"|javascript|js|json|jsx|kotlin|lua|makefile|php|powershell|py|python|r|rb|rs|ruby|rust|scala"
    r"|sh|shell|sql|swift|toml|ts|tsx|typescript|xml|yaml|yml|zsh",
    re.IGNORECASE,
)
# The first kind to which a word belongs decides its class.
CLASSES = (
    (Comment, "hl-comment"),
    (Keyword, "hl-keyword"),
    (Operator.Word, "hl-keyword"),
    (String, "hl-string"),
    (Number, "hl-number"),
    (Name.Function, "hl-name"),
    (Name.Class, "hl-name"),
    (Name.Tag, "hl-name"),
    (Name.Decorator, "hl-name"),
    (Generic.Deleted, "hl-deleted"),
    (Generic.Inserted, "hl-inserted"),
)
CLASS_NAMES = frozenset(name for _, name in CLASSES)


class Highlighter:
    """Colours the code of one page."""

    def __init__(
        self, seconds: float = SECONDS_PER_PAGE, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self.seconds_left = seconds
        self._clock = clock

    def html(self, code: str, language: str) -> str:
        """The code as HTML; plain if the language is unknown or colouring takes too long."""
        if not LANGUAGES.fullmatch(language) or self.seconds_left <= 0 or _is_slow(code, language):
            return escapeHtml(code)
        begun, html, done = self._clock(), [], 0
        for _, kind, word in _lexer(language.lower()).get_tokens_unprocessed(code):
            html.append(_element(kind, word))
            done += len(word)
            if self._clock() - begun > self.seconds_left:
                break
        self.seconds_left -= self._clock() - begun
        return "".join(html) + escapeHtml(code[done:])


def _is_slow(code: str, language: str) -> bool:
    """Whether colouring may take long. The lexer for JSON has no regular expressions."""
    return language != "json" and bool(SLOW.search(code))


@cache
def _lexer(language: str) -> Any:
    return get_lexer_by_name(language)


def _element(kind: Any, word: str) -> str:
    name = next((name for parent, name in CLASSES if kind in parent), "")
    text = escapeHtml(word)
    return f'<span class="{name}">{text}</span>' if name else text
