"""The contract: what a V2 request means to a memory, whichever door it came through.

Knows tensors, memories and the store; knows neither HTTP, nor DRF, nor MLServer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from api_keys.caller import ANYBODY, APPEND, READ, Caller
from convstore.exchange.statements import Window
from convstore.request_log import current_record
from convstore.store import conversation_key
from convstore.windows import MESSAGES
from memory_api import v2
from memory_api.errors import BadRequest, TooLarge, quote
from memory_api.header_names import check_header_names
from memory_api.idempotency import (
    Delivery,
    idempotency_key,
    reply_id,
    request_key,
)
from memory_api.left_out_tensors import note_left_out
from memory_api.memory import Memory
from memory_api.memory_ids import checked_memory_id
from memory_api.message_tensors import read_messages
from memory_api.metrics import metrics_of
from memory_api.request_names import PARAMETERS, check_names, refuse_query
from memory_api.windows import expected_position, window_options, with_token_counts

OUTPUTS = ("memory_id", "history")
NO_HEADERS = Delivery()


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply document, and the names of the outputs that are to be sent as binary data."""

    document: v2.InferResponse
    binary: frozenset[str] = frozenset()


def infer(
    memory: Memory,
    document: object,
    delivery: Delivery = NO_HEADERS,
    caller: Caller = ANYBODY,
) -> Answer:
    """Store the messages of a request, if it has any, and answer with the window.

    `document` is a V2 inference request as JSON values; BYTES elements may be bytes. `delivery`
    is what came in headers. A tenant's ids are its own: only the store knows their prefix. Raises
    NotAllowed, BadRequest and TooLarge, after which nothing was stored, and the store's errors.
    """
    caller.require(READ)
    request = v2.parse(document, settings.MAX_TENSORS)
    _refuse_too_large(request)
    check_names(memory, request)
    check_header_names(delivery.header_names)
    if delivery.query_names:
        refuse_query(delivery.query_names)
    outputs = _requested_outputs(request)
    memory_id = _memory_id(request)
    stored_id = caller.stored_id(memory_id)
    options = window_options(memory, request)
    with_positions = v2.flag(request.parameters, "positions", False)
    may_be_stale = v2.flag(request.parameters, "stale", memory.stale_reads)
    key = idempotency_key(request.parameters, delivery.idempotency_key)
    messages = with_token_counts(request, read_messages(request, memory.tensor_names))
    position = expected_position(request, messages)
    if messages:
        caller.require(APPEND)
    note_left_out(memory, request)
    record = current_record()
    record.conversation = conversation_key(stored_id)
    measured = metrics_of(*memory.labels)
    if messages:
        request_id = delivery.request_id or request.id
        stored_as = request_key(memory, stored_id, key, request_id, messages)
        window = memory.store.exchange(stored_id, messages, options, stored_as, position)
        record.stored = len(messages)
        measured.messages_stored.inc(len(messages))
        measured.bytes_stored.inc(record.bytes_stored or 0)
    else:
        # Who sends a key asks what became of a message.
        window = memory.store.window(stored_id, options, stale=may_be_stale and key is None)
        if record.read_from:
            measured.standby_reads.inc()
    record.window = len(window)
    measured.window_messages.observe(len(window))
    tensors = {
        "memory_id": v2.text_tensor("memory_id", [memory_id]),
        "history": v2.text_tensor("history", [message.body for message in window]),
    }
    response: v2.InferResponse = {"model_name": memory.name}
    if memory.version is not None:
        response["model_version"] = memory.version
    response["id"] = reply_id(memory, stored_id, key) if request.id is None else request.id
    response["parameters"] = _reply_parameters(window, with_positions)
    response["outputs"] = [tensors[output.name] for output in outputs]
    return Answer(response, frozenset(output.name for output in outputs if output.binary))


def _reply_parameters(window: Window, with_positions: bool) -> dict[str, Any]:
    """What a reply says of its window: that it is cut, and, where asked, where it stands."""
    parameters: dict[str, Any] = {"truncated": True} if window.truncated else {}
    if with_positions and window:
        parameters["first_position"] = window[0].position
        parameters["last_position"] = window[-1].position
    return parameters


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
            **_window_settings(memory),
        },
    }


def _window_settings(memory: Memory) -> dict[str, Any]:
    limit: dict[str, Any] = {}
    if memory.window_tokens is not None:
        limit["window_tokens"] = memory.window_tokens
    if memory.window_items != MESSAGES:
        limit["window_items"] = memory.window_items
    return {"window_size": memory.window_size, "window_unit": memory.window_unit, **limit}


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
    return checked_memory_id(values[0])
