"""What a request says of its window and of its place: sizes, units, budgets, positions, tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from convstore.messages import TOKENS, Message
from convstore.windows import MESSAGE, TOOL_PAIR, UNITS, WindowOptions
from memory_api import v2
from memory_api.errors import BadRequest, number_of, quote
from memory_api.json_text import is_integer, json_type
from memory_api.limits import MAX_TOKENS, MAX_WINDOW_SIZE
from memory_api.memory import TOOL_TENSORS, Memory

MAX_POSITION = 2**63 - 1
# Where clients of Seldon's memory send a window's parameters.
OLDER = "memory_parameters"

Value = TypeVar("Value")


def window_options(memory: Memory, request: v2.InferRequest) -> WindowOptions:
    """The reply's window: what the request asks for, or else what the memory is configured to.

    Raises BadRequest.
    """
    older = request.parameters.get(OLDER)
    if older is not None and not isinstance(older, dict):
        raise BadRequest(f"parameter '{OLDER}' is {json_type(older)}; it must be an object")
    places = {"": request.parameters}
    if older:
        places[f"{OLDER}."] = older

    def requested_value(name: str, read: Callable[[str, Any], Value | None]) -> Value | None:
        """The value in the first place that has one. Those behind it must be right, too."""
        values = [read(prefix + name, place.get(name)) for prefix, place in places.items()]
        return next((value for value in values if value is not None), None)

    return WindowOptions(
        requested_value("window_size", partial(_integer, 1, MAX_WINDOW_SIZE)) or memory.window_size,
        requested_value("window_unit", partial(_unit, memory)) or memory.window_unit,
        requested_value("window_tokens", partial(_integer, 1, MAX_TOKENS)) or memory.window_tokens,
        memory.window_items,
    )


def expected_position(request: v2.InferRequest, messages: Sequence[Message]) -> int | None:
    """The position behind which the request adds; None if it is to add behind any."""
    sent = request.parameters.get("expected_position")
    position = _integer(0, MAX_POSITION, "expected_position", sent)
    if position is not None and not messages:
        raise BadRequest(
            "parameter 'expected_position' was sent without a message; it is for a request that"
            " adds one"
        )
    return position


def with_token_counts(request: v2.InferRequest, messages: Sequence[Message]) -> Sequence[Message]:
    """The messages, each with its element of the tensor `tokens`, if that was sent."""
    tokens = request.integers(TOKENS) if messages else None
    if tokens is None:
        return messages
    if len(tokens) != len(messages):
        raise BadRequest(
            f"tensor 'tokens' has {number_of(len(tokens), 'element')}; it must have"
            f" {len(messages)}, one for each message"
        )
    for n, count in enumerate(tokens):
        if not 0 <= count <= MAX_TOKENS:
            raise BadRequest(
                f"element {n} of tensor 'tokens' is {_describe_value(count)}; it must be an integer"
                f" from 0 to {MAX_TOKENS}"
            )
    return [replace(message, tokens=count) for message, count in zip(messages, tokens, strict=True)]


def _unit(memory: Memory, name: str, unit: Any) -> str | None:
    if unit == TOOL_PAIR and not TOOL_TENSORS.issubset(memory.tensor_names):
        raise BadRequest(
            f"parameter '{name}' is '{TOOL_PAIR}', but this memory does not keep both 'tool_calls'"
            f" and 'tool_call_id'; send '{MESSAGE}', or add both to config.tensor_names of the"
            " memory"
        )
    if unit is None or (isinstance(unit, str) and unit in UNITS):
        return unit
    came = quote(unit) if isinstance(unit, str) else json_type(unit)
    wanted = " or ".join(f"'{each}'" for each in UNITS)
    raise BadRequest(f"parameter '{name}' is {came}; it must be {wanted}")


def _integer(lowest: int, highest: int, name: str, value: Any) -> int | None:
    if value is None or (is_integer(value) and lowest <= value <= highest):
        return value
    raise BadRequest(
        f"parameter '{name}' is {_describe_value(value)}; it must be an integer from {lowest} to"
        f" {highest}"
    )


def _describe_value(value: object) -> object:
    """The value, if it is an integer that a sentence has room for, or else its type."""
    return value if is_integer(value) and abs(value) < 2**64 else json_type(value)
