"""JSON text to values, as strict as the standard; how many there are; and words for what they are.

Does not know V2; both doors read tensors of JSON text with it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import NoReturn, TypeGuard

from memory_api.errors import BadRequest, TooLarge, quote
from memory_api.limits import MAX_JSON_DEPTH

# A string; the last one of a text that is cut off has no end.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
# As much as there is without the beginning of a string that has no end.
WHOLE = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
# So many bytes are looked at in one step: a copy of them takes no memory worth counting.
STEP_BYTES = 2048
# What opens a list or an object becomes 1, and what closes it -1, as signed bytes; no other stays.
LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
NO_BRACKET = bytes(set(range(256)) - set(b"[{]}"))


def refuse_excess(text: str | bytes, what: str, most: int, before: int = 0) -> int:
    """How many values a JSON text has at most, before any is built; and `before` it others had.

    `what` begins the sentence of a refusal: TooLarge if there are more than `most` values,
    BadRequest if they are nested too deeply. Whether the text is JSON is not asked.
    """
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    opened = data.count(b"[") + data.count(b"{")
    count = before + 1 + opened + data.count(b",")
    # Exact unless there are such characters in strings, as in prose and code: then look closer.
    if opened <= MAX_JSON_DEPTH and count <= most:
        return count
    return _exact_count(data, what, most, before)


def _exact_count(data: bytes, what: str, most: int, before: int) -> int:
    """Step by step, with no work in Python for each value: a small body may inflate to many."""
    count, depth = before + 1, 0
    for bare in _without_strings(data):
        levels = bare.translate(LEVELS, NO_BRACKET)
        opened = levels.count(1)
        count += opened + bare.count(b",")
        if count > most:
            raise TooLarge(f"{what} is over the limit of {most} JSON values")
        if max(accumulate(memoryview(levels).cast("b"), initial=depth)) > MAX_JSON_DEPTH:
            raise BadRequest(f"{what} is nested more than {MAX_JSON_DEPTH} levels deep")
        depth += 2 * opened - len(levels)
    return count


def _without_strings(data: bytes) -> Iterator[bytes]:
    """A JSON text without its strings, in steps."""
    at = 0
    while at < len(data):
        if whole := WHOLE.match(data, at, at + STEP_BYTES):  # also where nothing is whole
            yield STRING.sub(b"", whole[0])
            at = whole.end()
        if string := STRING.match(data, at):  # longer than what is left of the step
            at = string.end()


def parse_json(text: str, what: str, *, with_repeats: bool = True) -> object:
    """The value of a JSON text. `what` begins the sentence of a BadRequest.

    Python's own parser also reads NaN, Infinity and numbers that a float cannot hold. Of a name
    that an object has twice, the last value counts; without `with_repeats`, it is refused.
    """
    try:
        return (DECODER if with_repeats else STRICT_DECODER).decode(text)
    except BadRequest as reason:
        raise BadRequest(f"{what} {reason}") from None
    except RecursionError:
        raise BadRequest(f"{what} is nested too deeply") from None
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise BadRequest(
            f"{what} is not JSON: {problem} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:  # Python limits the digits of an integer
        raise BadRequest(f"{what} has a number with too many digits") from None


def refuse_repeats(text: bytes, what: str) -> None:
    """Raise BadRequest if an object in a JSON text has a name twice. For what another parser reads,
    which keeps the last of the values; what is no JSON is for that parser to refuse."""
    try:
        NAMES_DECODER.decode(text.decode())
    except BadRequest as reason:
        raise BadRequest(f"{what} {reason}") from None
    except (ValueError, RecursionError):
        return


def list_texts(text: str) -> Iterator[str]:
    """The text of each value of a JSON list, as it stands in `text`, which `parse_json` accepts."""
    end = text.index("[") + 1
    while found := VALUE_BEGINS.match(text, end):
        _, end = DECODER.raw_decode(text, found.end())
        yield text[found.end() : end]


def _refuse_constant(constant: str) -> NoReturn:
    raise BadRequest(f"is not JSON: {constant} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadRequest("has a number that is too large")
    return value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, of which Python would keep the last of two values with one name."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((repeated, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise BadRequest(f"has the name {quote(repeated)} twice in an object; send it once")
    return fields


# json.loads would make a decoder for each text.
DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
# For what is read by its names. The text of a tool call is kept to the letter, repeats included.
STRICT_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    object_pairs_hook=_without_repeats,
)
NAMES_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)
# In a list: what stands before its next value.
VALUE_BEGINS = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*(?=[^\] \t\r\n,])")


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a JSON value is an integer. In Python, true and false are integers as well."""
    return isinstance(value, int) and not isinstance(value, bool)


def json_type(value: object) -> str:
    """What a JSON value is, for a sentence: never the value, which may be long or private."""
    for types, name in (
        (type(None), "null"),
        (bool, "a boolean"),
        (int | float, "a number"),
        (str, "a string"),
        (list, "a list"),
        (dict, "an object"),
    ):
        if isinstance(value, types):
            return name
    return "binary data"
