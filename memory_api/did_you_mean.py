"""The known name that somebody may have meant who wrote an unknown one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from memory_api.errors import BadRequest, quote

# A name of a megabyte would take minutes.
MAX_CHARACTERS = 100
# Shorter names are all alike but for a letter.
FEWEST_LETTERS = 3


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a sentence that refuses `name`: "; did you mean 'x'?", or "" if none is like it.

    A suggestion for a name that is refused anyway: close matches are no reason to refuse one, as
    a misspelt name is.
    """
    names = {_plain(each): each for each in known}
    found = get_close_matches(_plain(name[:MAX_CHARACTERS]), names, n=1)
    return f"; did you mean {names[found[0]]!r}?" if found else ""


def meant_name(name: str, known: Collection[str]) -> str:
    """The known name that `name` is but for case, - or _, or one letter; "" if there is none."""
    if name in known or len(name) > MAX_CHARACTERS:
        return ""
    return next((each for each in known if _is_nearly(name, each)), "")


def refuse_misspelt(unknown: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse a name that is nearly a known one, of what is called `what`. Raises BadRequest."""
    for name in sorted(unknown):
        if meant := meant_name(name, known):
            raise BadRequest(
                f"there is no {what} {quote(name)}; did you mean '{meant}'? If not, choose a"
                " name that differs more"
            )


def _is_nearly(one: str, other: str) -> bool:
    """Whether they are the same, or but for a letter: missing, added, wrong, or one too late."""
    one, other = _plain(one), _plain(other)
    if min(len(one), len(other)) < FEWEST_LETTERS:
        return one == other != ""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    swapped = one[:2] == other[:2][::-1] and one[2:] == other[2:]
    return swapped or one[1:] == other[1:] or one[1:] == other or one == other[1:]


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")
