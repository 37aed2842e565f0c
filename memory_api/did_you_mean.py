"""The known name that somebody may have meant who wrote an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that refuses `name`: "; did you mean 'x'?", or "" if none is like it.

    A suggestion for a name that is refused anyway: close matches are no reason to refuse one.
    """
    names = {_plain(each): each for each in known}
    # A name of a megabyte would take difflib minutes.
    found = get_close_matches(_plain(name[:100]), names, n=1)
    return f"; did you mean {names[found[0]]!r}?" if found else ""


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
