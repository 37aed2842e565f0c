"""The contract: what a V2 request means to a memory, whichever door it came through.

Knows tensors, memories and the store; knows neither HTTP, nor DRF, nor MLServer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from convstore.exchange.statements import StoredMessage
from convstore.messages import is_utf8
from memory_api import v2
from memory_api.errors import BadRequest, TooLarge, quote
from memory_api.idempotency import Delivery, idempotency_key, reply_id, request_key
from memory_api.json_text import is_integer, json_type
from memory_api.left_out_tensors import note_left_out
from memory_api.limits import MAX_MEMORY_ID_LENGTH, MAX_WINDOW_SIZE
from memory_api.memory import Memory
from memory_api.message_tensors import read_messages
from memory_api.metrics import metrics_of
from memory_api.request_names import PARAMETERS, check_names

OUTPUTS = ("memory_id", "history")
NO_HEADERS = Delivery()


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply document, and the names of the outputs that are to be sent as binary data."""

    document: v2.InferResponse
    binary: frozenset[str] = frozenset()


def infer(memory: Memory, document: object, delivery: Delivery = NO_HEADERS) -> Answer:
    """Store the messages of a request, if it has any, and answer with the window.

    `document` is a V2 inference request as JSON values; BYTES elements may be bytes. `delivery`
    is what came in headers. Raises BadRequest and TooLarge, after which nothing was stored, and the
    store's errors.
    """
    request = v2.parse(document, settings.MAX_TENSORS)
    _refuse_too_large(request)
    check_names(memory, request)
    outputs = _requested_outputs(request)
    memory_id = _memory_id(request)
    size = _window_size(memory, request)
    with_positions = v2.flag(request.parameters, "positions", False)
    key = idempotency_key(request.parameters, delivery.idempotency_key)
    messages = read_messages(request, memory.tensor_names)
    note_left_out(memory, request)
    measured = metrics_of(*memory.labels)
    if messages:
        request_id = delivery.request_id or request.id
        stored_as = request_key(memory, memory_id, key, request_id, messages)
        window = memory.store.exchange(memory_id, messages, size, stored_as)
        measured.messages_stored.inc(len(messages))
    else:
        window = memory.store.window(memory_id, size)
    measured.window_messages.observe(len(window))
    tensors = {
        "memory_id": v2.text_tensor("memory_id", [memory_id]),
        "history": v2.text_tensor("history", [message.body for message in window]),
    }
    response: v2.InferResponse = {"model_name": memory.name}
    if memory.version is not None:
        response["model_version"] = memory.version
    response["id"] = reply_id(memory, memory_id, key) if request.id is None else request.id
    response["parameters"] = _positions(window) if with_positions else {}
    response["outputs"] = [tensors[output.name] for output in outputs]
    return Answer(response, frozenset(output.name for output in outputs if output.binary))


def _positions(window: Sequence[StoredMessage]) -> dict[str, Any]:
    """Where the first and the last message of a window stand; nothing if it is empty."""
    if not window:
        return {}
    return {"first_position": window[0].position, "last_position": window[-1].position}


def metadata(memory: Memory) -> dict[str, Any]:
    """V2's model metadata: the memory's tensors, the parameters of requests, and its window.

    In a shape, -1 is any number.
    """
    return {
        "name": memory.name,
        "versions": [] if memory.version is None else [memory.version],
        "platform": "",
        "inputs": [
            _tensor_metadata("memory_id", [1]),
            *(_tensor_metadata(name, [-1]) for name in memory.tensor_names),
        ],
        "outputs": [
            _tensor_metadata("memory_id", [1, 1]),
            _tensor_metadata("history", [-1, 1]),
        ],
        "parameters": {
            # In one text, since gRPC's parameters are scalars.
            "request_parameters": ", ".join(PARAMETERS),
            "window_size": memory.window_size,
        },
    }


def _tensor_metadata(name: str, shape: list[int]) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": "BYTES",
        "shape": shape,
        "parameters": {"content_type": "str"},
    }


# --- Size --------------------------------------------------------------------------------


def _refuse_too_large(request: v2.InferRequest) -> None:
    """The HTTP door has refused a large body before; over gRPC, nobody has."""
    count = sum(len(tensor.elements) for tensor in request.inputs)
    if count > settings.MAX_VALUES:
        raise TooLarge(f"the tensors have {count} elements; the limit is {settings.MAX_VALUES}")
    size = sum(_size_in_bytes(element) for tensor in request.inputs for element in tensor.elements)
    if size > settings.MAX_BODY_BYTES:
        raise TooLarge(f"the tensors have {size} bytes; the limit is {settings.MAX_BODY_BYTES}")


def _size_in_bytes(element: object) -> int:
    if isinstance(element, str):
        return len(element) if element.isascii() else len(element.encode(errors="surrogatepass"))
    return len(element) if isinstance(element, bytes) else 0


# --- What the request says beside its messages -------------------------------------------


def _requested_outputs(request: v2.InferRequest) -> Sequence[v2.Output]:
    if request.outputs is None:
        return [v2.Output(name, request.binary) for name in OUTPUTS]
    names = [output.name for output in request.outputs]
    for name in names:
        if name not in OUTPUTS:
            raise BadRequest(
                f"there is no output {quote(name)}; the outputs are {' and '.join(OUTPUTS)}"
            )
        if names.count(name) > 1:
            raise BadRequest(
                f"output '{name}' is requested {names.count(name)} times; request it once"
            )
    return request.outputs


def _memory_id(request: v2.InferRequest) -> str:
    values = request.strings("memory_id")
    if values is None:
        raise BadRequest("tensor 'memory_id' is missing; it must name a conversation")
    if len(values) != 1:
        raise BadRequest(f"tensor 'memory_id' has {len(values)} elements; it must have 1")
    memory_id = values[0]
    length = len(memory_id.encode("utf-16-le", "surrogatepass")) // 2
    if not 1 <= length <= MAX_MEMORY_ID_LENGTH:
        raise BadRequest(
            f"'memory_id' has {length} characters, counted as in UTF-16; it must have 1 to"
            f" {MAX_MEMORY_ID_LENGTH}"
        )
    if "\0" in memory_id or not is_utf8(memory_id):
        raise BadRequest("'memory_id' contains a NUL or a lone surrogate; it must have neither")
    return memory_id


def _window_size(memory: Memory, request: v2.InferRequest) -> int:
    older = request.parameters.get("memory_parameters")  # where clients of Seldon's memory send it
    if older is not None and not isinstance(older, dict):
        raise BadRequest(
            f"parameter 'memory_parameters' is {json_type(older)}; it must be an object"
        )
    size = request.parameters.get("window_size")
    if size is None:  # some clients send null for a parameter that they do not set
        size = (older or {}).get("window_size")
    if size is None:
        return memory.window_size
    if not is_integer(size) or not 1 <= size <= MAX_WINDOW_SIZE:
        came = size if is_integer(size) and abs(size) < 2**64 else json_type(size)
        raise BadRequest(
            f"parameter 'window_size' is {came}; it must be an integer from 1 to {MAX_WINDOW_SIZE}"
        )
    return size
