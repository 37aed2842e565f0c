"""What a request says of its window and of its place: sizes, units, budgets, positions, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from convstore.messages import Message
from convstore.windows import TOOL_PAIR, UNITS, WindowOptions
from memory_api import v2
from memory_api.errors import BadRequest, quote
from memory_api.json_text import is_integer, json_type
from memory_api.limits import MAX_TOKENS, MAX_WINDOW_SIZE
from memory_api.memory import TOOL_TENSORS, Memory
from memory_api.v2 import TOKENS

MAX_POSITION = 2**63 - 1


def window_options(memory: Memory, request: v2.InferRequest) -> WindowOptions:
    """The reply's window: what the request asks for, or else what the memory is configured to.

    Raises BadRequest.
    """
    older = request.parameters.get("memory_parameters")  # where clients of Seldon's memory send it
    if older is not None and not isinstance(older, dict):
        raise BadRequest(
            f"parameter 'memory_parameters' is {json_type(older)}; it must be an object"
        )
    # Some clients send null for a parameter that they do not set.
    given = {name: value for name, value in (older or {}).items() if value is not None}
    given |= {name: value for name, value in request.parameters.items() if value is not None}
    return WindowOptions(
        _integer(given, "window_size", 1, MAX_WINDOW_SIZE) or memory.window_size,
        _unit(given, memory) or memory.window_unit,
        _integer(given, "window_tokens", 1, MAX_TOKENS) or memory.window_tokens,
    )


def expected_position(request: v2.InferRequest, messages: Sequence[Message]) -> int | None:
    """The position behind which the request adds; None if it is to add behind any."""
    position = _integer(request.parameters, "expected_position", 0, MAX_POSITION)
    if position is not None and not messages:
        raise BadRequest(
            "parameter 'expected_position' was sent without a message; it is for a request that"
            " adds one"
        )
    return position


def counted(request: v2.InferRequest, messages: Sequence[Message]) -> Sequence[Message]:
    """The messages, each with its element of the tensor `tokens`, if that was sent."""
    tokens = request.integers(TOKENS) if messages else None
    if tokens is None:
        return messages
    if len(tokens) != len(messages):
        raise BadRequest(
            f"tensor 'tokens' has {len(tokens)} elements for {len(messages)} messages; it must"
            " have one for each message"
        )
    for n, count in enumerate(tokens):
        if not 0 <= count <= MAX_TOKENS:
            raise BadRequest(
                f"element {n} of tensor 'tokens' is {_shown(count)}; it must be an integer from 0"
                f" to {MAX_TOKENS}"
            )
    return [replace(message, tokens=count) for message, count in zip(messages, tokens, strict=True)]


def _unit(given: dict[str, Any], memory: Memory) -> str | None:
    unit = given.get("window_unit")
    if unit == TOOL_PAIR and not TOOL_TENSORS.issubset(memory.tensor_names):
        raise BadRequest(
            f"parameter 'window_unit' is '{TOOL_PAIR}', which needs a memory whose"
            " config.tensor_names have 'tool_calls' and 'tool_call_id'"
        )
    if unit is None or (isinstance(unit, str) and unit in UNITS):
        return unit
    came = quote(unit) if isinstance(unit, str) else json_type(unit)
    wanted = " or ".join(f"'{each}'" for each in UNITS)
    raise BadRequest(f"parameter 'window_unit' is {came}; it must be {wanted}")


def _integer(given: Any, name: str, lowest: int, highest: int) -> int | None:
    value = given.get(name)
    if value is None or (is_integer(value) and lowest <= value <= highest):
        return value
    raise BadRequest(
        f"parameter '{name}' is {_shown(value)}; it must be an integer from {lowest} to {highest}"
    )


def _shown(value: object) -> object:
    """The value, if it is an integer that a sentence has room for, or else its type."""
    return value if is_integer(value) and abs(value) < 2**64 else json_type(value)
