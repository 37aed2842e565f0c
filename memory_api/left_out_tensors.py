"""Tensors of OpenAI's format that a memory's own `tensor_names` leave out.

A request with one is counted, and the first one is logged. It is refused if a message would be
empty without it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from memory_api import v2
from memory_api.errors import BadRequest
from memory_api.memory import DEFAULT_TENSOR_NAMES, Memory
from memory_api.metrics import metrics_of

logger = logging.getLogger(__name__)

# Elements of a tensor in which a message has nothing.
NOTHING: tuple[object, ...] = (None, "", b"", "[]", b"[]")
# Without these a message is not empty.
NO_CONTENT = ("role", "type")

# A tensor's name, and what it holds.
LeftOut = Mapping[str, Sequence[object]]


def left_out_tensors(request: v2.InferRequest, tensor_names: Sequence[str]) -> LeftOut:
    """The tensors of OpenAI's format that hold something, and are not kept."""
    return {
        tensor.name: tensor.elements
        for tensor in request.inputs
        if tensor.name not in tensor_names
        and tensor.name in DEFAULT_TENSOR_NAMES
        and any(map(_holds_something, tensor.elements))
    }


def _holds_something(element: object) -> bool:
    return element not in NOTHING


def refuse_emptied(left_out: LeftOut) -> None:
    """Refuse a message that has nothing but what is in `left_out`."""
    for name, elements in left_out.items():
        if name not in NO_CONTENT and any(map(_holds_something, elements)):
            raise BadRequest(
                f"tensor '{name}' is all that a message has, but this memory does not keep it; add"
                f" '{name}' to config.tensor_names of the memory"
            )


def note_left_out(memory: Memory, request: v2.InferRequest) -> None:
    """Count a request with tensors that are left out, and log the first one of each memory."""
    left_out = left_out_tensors(request, memory.tensor_names)
    if not left_out:
        return
    metrics_of(*memory.labels).tensors_left_out.inc()
    if memory.labels not in _logged:
        _logged.add(memory.labels)
        logger.warning(
            "memory %s: a request has %s: not stored, since config.tensor_names does not have it."
            " Logged once; memory_tensors_left_out_total counts all such requests",
            memory.name,
            " and ".join(f"tensor '{name}'" for name in left_out),
        )


_logged: set[tuple[str, str]] = set()
