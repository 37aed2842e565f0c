"""The text of a message that searches read, its terms for an index, and how words are compared."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

from convstore.messages import JsonText, Message, Part, dumps, parts_in

# How many characters of a message are searched in all conversations.
SEARCHED_CHARACTERS = 16_384
# A longer term is cut: PostgreSQL's index refuses very long ones.
TERM_CHARACTERS = 64
# A value that begins like base64 is not searched.
BASE64 = re.compile(r"(?:data:[\w/+.;=-]*,)?[\w+/-]{200}", re.ASCII)

ACCENTS = re.compile("[\u0300-\u036f]")
# Characters that a reader does not see: soft hyphens, joiners, variation selectors, marks of order.
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]")
# PostgreSQL stores no NUL, and UTF-8 has no lone surrogates.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# Scripts that put no blanks between words, and symbols such as emoji.
PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u2e80-\u312f\u3190-\ua4cf\uf900-\ufaff"
    "\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
RUN = re.compile(f"[{PAIRED}]+|[^\\W_{PAIRED}]+")
ASCII_RUN = re.compile("[a-z0-9]+")
IS_PAIRED, FIRST_PAIRED = re.compile(f"[{PAIRED}]").match, PAIRED[0]


# --- How words are compared --------------------------------------------------------------


class FoldedCharacters(dict[int, str]):
    """What each character is compared as, by its code point; a table for `str.translate`."""

    def __missing__(self, code: int) -> str:
        folded = _folded_character(chr(code))
        if code < 0x10000:  # the others are rare, and a million of them would fill the memory
            self[code] = folded
        return folded


FOLDED_CHARACTERS = FoldedCharacters()


def _folded_character(character: str) -> str:
    if UNSTORABLE.match(character):
        return " "
    if INVISIBLE.match(character):
        return ""
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    without_accents = ACCENTS.sub("", unicodedata.normalize("NFKD", decomposed))
    return unicodedata.normalize("NFC", without_accents)


def fold_text(text: str) -> str:
    """The text as it is compared: on one line, without case, width, accents and invisible marks.

    Texts and queries are folded by this function alone. The word of a text folds to a part of the
    folded text, or to several, wherever the text is split at blanks.
    """
    if text.isascii():
        text = text.lower().replace("\0", " ")
    else:
        text = unicodedata.normalize("NFKC", text).translate(FOLDED_CHARACTERS)
    return " ".join(text.split())


def query_words(query: str) -> list[str]:
    """The words of the query, folded, without repetition."""
    return list(dict.fromkeys(fold_text(query).split()))


def word_segments(text: str, words: Sequence[str]) -> list[tuple[bool, str]]:
    """The text in segments, each as (is it one of the words, text)."""
    text = unicodedata.normalize("NFC", text)
    characters = [FOLDED_CHARACTERS[ord(character)] for character in text]
    compared = "".join(characters)
    origins = [n for n, character in enumerate(characters) for _ in character]
    found = re.finditer("|".join(map(re.escape, sorted(words, key=len, reverse=True))), compared)
    segments: list[tuple[bool, str]] = []
    end = 0
    for match in found:
        if match.end() == match.start():
            continue
        start, after = origins[match.start()], origins[match.end() - 1] + 1
        if start < end:  # two words share a character, such as a ligature
            continue
        segments += [(False, text[end:start]), (True, text[start:after])]
        end = after
    return [segment for segment in (*segments, (False, text[end:])) if segment[1]]


# --- The text of a message ---------------------------------------------------------------


def texts_of(message: Message) -> Iterator[str]:
    """What a message says: its parts, and the names, calls and refusals beside them."""
    yield from texts_of_parts(message.parts)
    yield from _leaves(message.extra)


def texts_of_parts(parts: Iterable[Part]) -> Iterator[str]:
    return (part.value for part in parts if part.type == "text" or not BASE64.match(part.value))


def texts_in(beginning: str) -> Iterator[str]:
    """What a message says, out of the beginning of its JSON; calls only if that is all of it."""
    with suppress(ValueError):
        return texts_of(Message.from_json(beginning))
    return texts_of_parts(parts_in(beginning))


def _leaves(extra: Mapping[str, Any]) -> Iterator[str]:
    """The texts and numbers in the other fields of a message, and the names in arguments of calls.

    It keeps a stack: a client may nest values deeper than functions can call each other.
    """
    waiting: list[tuple[Any, bool]] = [(extra, False)]
    while waiting:
        value, in_arguments = waiting.pop()
        if isinstance(value, Mapping):
            waiting += _values(value, in_arguments)[::-1]
        elif isinstance(value, list | tuple):
            waiting += [(inner, in_arguments) for inner in reversed(value)]
        elif isinstance(value, JsonText):
            waiting.append((_parse_json(value), in_arguments))
        elif isinstance(value, str) and not BASE64.match(value):
            yield value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield dumps(value)


def _values(fields: Mapping[str, Any], in_arguments: bool) -> list[tuple[Any, bool]]:
    """The values of an object, each with whether it is in the arguments of a call."""
    values: list[tuple[Any, bool]] = []
    for name, value in fields.items():
        if in_arguments:
            values += [(name, True), (value, True)]
        elif name == "arguments":
            values.append((_arguments(value), True))
        elif name != "type":  # "function", in every call
            values.append((value, False))
    return values


def _arguments(value: Any) -> Any:
    """The arguments of a call: in JSON text, letters may be escaped; numbers stay as written."""
    return _parse_json(value, parse_float=str, parse_int=str) if isinstance(value, str) else value


def _parse_json(text: str, **numbers: Any) -> Any:
    """The value of JSON text; the text itself if it is none."""
    with suppress(ValueError, RecursionError):
        return json.loads(text, **numbers)
    return str(text)


def searched_text(texts: Iterable[str]) -> str:
    """The folded text that a search in all conversations reads: the beginning of what is said."""
    parts: list[str] = []
    left = SEARCHED_CHARACTERS
    for text in texts:
        parts.append(fold_text(text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return " ".join(filter(None, parts))[:SEARCHED_CHARACTERS]


# --- The terms of an index ---------------------------------------------------------------


def with_terms(text: str) -> str:
    """A folded text, and on a second line its terms for the index."""
    return f"{text}\n{' '.join(terms_of(text))}"


def terms_of(text: str) -> list[str]:
    """The terms of a folded text: runs of letters and digits, or pairs of neighbours."""
    terms: dict[str, None] = {}
    # Most texts are ASCII, for which the long class of RUN would take twice as long.
    for run in (ASCII_RUN if text.isascii() else RUN).findall(text):
        if run >= FIRST_PAIRED and IS_PAIRED(run):
            terms.update(dict.fromkeys(map("".join, pairwise(run))))
            terms[run[-1]] = None
        else:
            terms[run[:TERM_CHARACTERS]] = None
    return list(terms)


class QueryTerms(NamedTuple):
    """Terms that a message with the words of a query surely has: whole, or as beginnings."""

    whole: list[str]
    beginnings: list[str]


def query_terms(words: Iterable[str]) -> QueryTerms:
    """The terms to look up for these words; a word may be the beginning of a longer one."""
    found = QueryTerms([], [])
    for word in words:
        for run in RUN.finditer(word):
            text, is_last = run[0], run.end() == len(word)
            if IS_PAIRED(text) and len(text) > 1:
                found.whole.extend(map("".join, pairwise(text)))
            elif IS_PAIRED(text) or is_last:
                found.beginnings.append(text[:TERM_CHARACTERS])
            else:
                found.whole.append(text[:TERM_CHARACTERS])
    return found
