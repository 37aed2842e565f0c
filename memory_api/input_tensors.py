"""A tensor of a V2 request, and its elements as strings or integers. All raise BadRequest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from convstore.messages import dumps
from memory_api.errors import BadRequest, quote
from memory_api.json_text import json_type

# The datatypes of integers, and how `struct` names them.
INTEGER_TYPES = {
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
}


class Input(NamedTuple):
    """A tensor that was sent. `elements` are flattened row-major, and may be of any type yet."""

    name: str
    datatype: str
    elements: Sequence[object]
    parameters: Mapping[str, Any] = {}


def elements_of(data: object) -> list[object]:
    """The elements of nested lists, row-major. A value that is no list is one element."""
    if isinstance(data, list) and list not in map(type, data):  # as nearly all are
        return data
    return list(_flatten(data))


def _flatten(data: object) -> Iterator[object]:
    stack = [iter([data])]
    while stack:
        for value in stack[-1]:
            if isinstance(value, list):
                stack.append(iter(value))
                break
            yield value
        else:
            stack.pop()


def is_null(tensor: Input) -> bool:
    return bool(tensor.elements) and all(each is None for each in tensor.elements)


def strings_of(tensor: Input, *, objects: bool = False) -> list[str]:
    if tensor.datatype != "BYTES":
        raise BadRequest(
            f"tensor '{tensor.name}' has datatype {quote(tensor.datatype)}; it must be BYTES"
        )
    return [_string(element, n, tensor.name, objects) for n, element in enumerate(tensor.elements)]


def integers_of(tensor: Input) -> list[int]:
    if tensor.datatype not in INTEGER_TYPES:
        raise BadRequest(
            f"tensor '{tensor.name}' has datatype {quote(tensor.datatype)}; it must be INT64 or"
            " another type of integers"
        )
    return [_integer(element, n, tensor.name) for n, element in enumerate(tensor.elements)]


def _integer(element: object, n: int, name: str) -> int:
    if isinstance(element, int) and not isinstance(element, bool):
        return element
    raise BadRequest(
        f"element {n} of tensor '{name}' is {json_type(element)}; it must be an integer"
    )


def _string(element: object, n: int, name: str, objects: bool) -> str:
    if isinstance(element, str):
        return element
    if objects and isinstance(element, dict):
        return dumps(element)
    if not isinstance(element, bytes):
        raise BadRequest(
            f"element {n} of tensor '{name}' is {json_type(element)}; it must be a string"
        )
    try:
        return element.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"element {n} of tensor '{name}' is not UTF-8") from None
