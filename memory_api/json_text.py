"""JSON text to values, as strict as the standard, and words for what JSON values are.

Knows neither bytes nor V2; both doors read tensors of JSON text with it.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn, TypeGuard

from memory_api.errors import BadRequest


def parse_json(text: str, what: str) -> object:
    """The value of a JSON text. `what` begins the sentence of a BadRequest.

    Python's own parser also reads NaN, Infinity and numbers that a float cannot hold.
    """
    try:
        return DECODER.decode(text)
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


def _refuse_constant(constant: str) -> NoReturn:
    raise BadRequest(f"is not JSON: {constant} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadRequest("has a number that is too large")
    return value


# json.loads would make a decoder for each text.
DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)


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
