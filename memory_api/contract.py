"""The one meaning of a V2 request to a memory, whichever door it came through.

Knows tensors, messages and the store; knows neither HTTP, nor DRF, nor MLServer.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings

from convstore.messages import Message, Part, is_utf8
from memory_api import documents, metrics, v2
from memory_api.errors import BadRequest, TooLarge, shown
from memory_api.memories import Memory

OUTPUTS = ("memory_id", "history")
LONGEST_MEMORY_ID = 255
LARGEST_WINDOW = 2**31 - 1
DEEPEST_TOOL_CALL = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply document, and the names of the outputs that were asked for as binary data."""

    document: v2.InferResponse
    binary: frozenset[str] = frozenset()


def infer(memory: Memory, document: object, request_id: str | None = None) -> Answer:
    """Store what the request says, if it says something, and answer with the window.

    `document` is a V2 inference request as JSON values (BYTES elements may be bytes), and
    `request_id` what the transport calls it, its header X-Request-Id. Raises BadRequest
    and TooLarge, nothing being written then; and the store's errors.
    """
    request = v2.parse(document)
    _refuse_too_large(request)
    outputs = _outputs(request)
    memory_id = _memory_id(request)
    size = _window_size(memory, request)
    messages = _messages(memory, request)
    if messages:
        key = _request_key(memory, request_id or request.id, messages)
        window = memory.store.exchange(memory_id, messages, size, key)
        metrics.messages_stored.labels(*memory.labels).inc(len(messages))
    else:
        window = memory.store.window(memory_id, size)
    metrics.window_messages.labels(*memory.labels).observe(len(window))
    tensors = {
        "memory_id": v2.tensor("memory_id", [memory_id]),
        "history": v2.tensor("history", [message.body for message in window]),
    }
    response: v2.InferResponse = {"model_name": memory.name}
    if memory.version is not None:
        response["model_version"] = memory.version
    response["id"] = str(uuid.uuid4()) if request.id is None else request.id
    response["parameters"] = {}
    response["outputs"] = [tensors[output.name] for output in outputs]
    return Answer(response, frozenset(output.name for output in outputs if output.binary))


def metadata(memory: Memory) -> dict[str, Any]:
    """The model metadata of V2, with the memory's true tensors; -1 is any number."""
    return {
        "name": memory.name,
        "versions": [] if memory.version is None else [memory.version],
        "platform": "",
        "inputs": [
            _described("memory_id", [1]),
            *(_described(name, [-1]) for name in memory.tensor_names),
        ],
        "outputs": [_described("memory_id", [1, 1]), _described("history", [-1, 1])],
        "parameters": {},
    }


def _described(name: str, shape: list[int]) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": "BYTES",
        "shape": shape,
        "parameters": {"content_type": "str"},
    }


# --- What is asked -----------------------------------------------------------------------


def _refuse_too_large(request: v2.InferRequest) -> None:
    """A door that knows its bodies' sizes has refused before; MLServer has no such limit."""
    size = sum(_octets(element) for tensor in request.inputs for element in tensor.elements)
    if size > settings.MAX_BODY_BYTES:
        raise TooLarge(f"the tensors hold {size} bytes; the limit is {settings.MAX_BODY_BYTES}")


def _octets(element: object) -> int:
    if isinstance(element, str):
        return len(element) if element.isascii() else len(element.encode(errors="surrogatepass"))
    return len(element) if isinstance(element, bytes) else 0


def _outputs(request: v2.InferRequest) -> Sequence[v2.Output]:
    if request.outputs is None:
        return [v2.Output(name, request.binary) for name in OUTPUTS]
    names = [output.name for output in request.outputs]
    for name in names:
        if name not in OUTPUTS:
            raise BadRequest(
                f"output {shown(name)} is not known; there are {' and '.join(OUTPUTS)}"
            )
        if names.count(name) > 1:
            raise BadRequest(f"output '{name}' is asked for {names.count(name)} times; ask once")
    return request.outputs


def _memory_id(request: v2.InferRequest) -> str:
    values = request.strings("memory_id")
    if values is None:
        raise BadRequest("tensor 'memory_id' is missing; it says which conversation is meant")
    if len(values) != 1:
        raise BadRequest(f"tensor 'memory_id' has {len(values)} elements; it must have 1")
    memory_id = values[0]
    if not 1 <= len(memory_id) <= LONGEST_MEMORY_ID:
        raise BadRequest(
            f"'memory_id' has {len(memory_id)} characters; it must have 1 to {LONGEST_MEMORY_ID}"
        )
    if "\0" in memory_id or not is_utf8(memory_id):
        raise BadRequest("'memory_id' holds a NUL or a lone surrogate, which no id may")
    return memory_id


def _window_size(memory: Memory, request: v2.InferRequest) -> int:
    older = request.parameters.get("memory_parameters")
    if not isinstance(older, Mapping | None):
        raise BadRequest("parameter 'memory_parameters' must be an object")
    size = request.parameters.get("window_size")
    if size is None:  # null is what a client sends that has nothing to say
        size = (older or {}).get("window_size")
    if size is None:
        return memory.window_size
    if not documents.is_integer(size) or not 1 <= size <= LARGEST_WINDOW:
        raise BadRequest(f"parameter 'window_size' must be an integer from 1 to {LARGEST_WINDOW}")
    return size


# --- What is said ------------------------------------------------------------------------


def _messages(memory: Memory, request: v2.InferRequest) -> list[Message]:
    """The messages to add; none when no tensor of a message was sent."""
    sent = _sent(memory, request)
    if not sent:
        return []
    roles, contents, types = sent.pop("role"), sent.pop("content"), sent.pop("type", None)
    if not roles:
        raise BadRequest("tensor 'role' has 0 elements; a message needs 1")
    if len(roles) == 1:
        messages = [_message(roles[0], contents, types, sent)]
    else:
        messages = _several(roles, contents, types, sent)
    parts = sum(map(_size, messages))
    if parts > settings.MAX_PARTS:
        raise TooLarge(f"the request has {parts} parts; the limit is {settings.MAX_PARTS}")
    return messages


def _sent(memory: Memory, request: v2.InferRequest) -> dict[str, list[str]]:
    """The tensors of a message that were sent, by name: none, or role and content among them."""
    tensors = {name: request.strings(name) for name in memory.tensor_names}
    sent = {name: values for name, values in tensors.items() if values is not None}
    if not sent:
        return {}
    if "role" not in memory.tensor_names:
        sent["role"] = ["user"]
    if "content" not in sent and ("tool_calls" in sent or "tool_call_id" in sent):
        # Seldon's translators leave a tensor out whose values are all empty.
        count = len(sent.get("role", ()))
        sent["content"] = [""] if count == 1 else ['[""]'] * count
    for name in ("role", "content"):
        if name not in sent:
            others = ", ".join(f"'{other}'" for other in sent)
            raise BadRequest(f"tensor '{name}' is missing, but {others} was sent")
    return sent


def _request_key(
    memory: Memory, request_id: str | None, messages: Sequence[Message]
) -> UUID | None:
    """What the store knows a request by that is delivered again; None where each one counts.

    A pipeline's steps share the request's id, and a step in a cycle is asked under it many
    times. So the key is of the step and of what is said, too. The step is the memory without
    the version that Seldon's agent ends its name in: a request may be delivered again to the
    next version.
    """
    if not memory.by_request_id or not request_id:
        return None
    step = memory.name.removesuffix(f"_{memory.version}") if memory.version else memory.name
    said = [step, request_id, *(message.to_json() for message in messages)]
    return UUID(bytes=sha256(json.dumps(said).encode()).digest()[:16], version=4)


def _size(message: Message) -> int:
    """How many parts a message counts for: its own, and what else is kept with it."""
    also = message.extra.values()
    return len(message.parts) + sum(len(kept) if isinstance(kept, list) else 1 for kept in also)


def _several(
    roles: list[str],
    contents: list[str],
    types: list[str] | None,
    others: Mapping[str, list[str]],
) -> list[Message]:
    """N messages: item n of each tensor is a JSON list, or "" where message n has none.

    It is the encoding that Seldon's chat translators use for a whole conversation.
    """
    count = len(roles)
    tensors = {"content": contents, **({} if types is None else {"type": types}), **others}
    for name, values in tensors.items():
        if len(values) != count:
            raise BadRequest(
                f"tensor 'role' has {count} elements, but '{name}' has {len(values)};"
                f" for {count} messages it must have {count}, each a JSON list"
            )
    messages = []
    for n, role in enumerate(roles):
        item = {name: _listed(values[n], name, n) for name, values in tensors.items()}
        parts = item.pop("content")
        kinds = item.pop("type", [])
        messages.append(_message(role, parts, kinds or None, item, f" of message {n}"))
    return messages


def _listed(text: str, name: str, n: int) -> list[Any]:
    if text == "":
        return []
    if name == "tool_call_id" and not _is_list(text):
        return [text]  # the translators send the bare id
    values = _loaded(text, f"element {n} of tensor '{name}'")
    wanted = (str, dict) if name == "tool_calls" else (str,)
    if not isinstance(values, list) or not all(isinstance(value, wanted) for value in values):
        raise BadRequest(
            f"""element {n} of tensor '{name}' must be a JSON list of strings such as ["Hello!"],"""
            " since 'role' has several elements"
        )
    return values


def _is_list(text: str) -> bool:
    try:
        return isinstance(documents.loads(text), list)
    except BadRequest:
        return False


def _message(
    role: str,
    values: list[str],
    types: list[str] | None,
    also: Mapping[str, list[Any]],
    which: str = "",
) -> Message:
    """One message; `which` says in a sentence which of several it is."""
    types = ["text"] * len(values) if types is None else types
    if len(types) != len(values):
        raise BadRequest(
            f"tensor 'type' has {len(types)} elements, but 'content' has {len(values)}{which}"
        )
    kept = {name: _kept(name, items, which) for name, items in also.items()}
    kept = {name: value for name, value in kept.items() if value}
    if not values and not kept:
        raise BadRequest(f"tensor 'content' has 0 elements{which}; a message needs at least 1")
    return Message(role, [Part(*pair) for pair in zip(types, values, strict=True)], kept)


def _kept(name: str, values: list[Any], which: str) -> Any:
    """What a message keeps of the tensor `name`; something empty when there is nothing."""
    if name == "tool_calls":
        return [_tool_call(value, n, which) for n, value in enumerate(values) if value != ""]
    if name == "tool_call_id":
        if len(values) > 1:
            raise BadRequest(f"tensor 'tool_call_id' has {len(values)} elements for one message")
        return "".join(values)
    return values


def _tool_call(value: Any, n: int, which: str) -> dict[str, Any]:
    what = f"element {n} of tensor 'tool_calls'{which}"
    call = value if isinstance(value, dict) else _loaded(value, what)
    if not isinstance(call, dict):
        raise BadRequest(f"{what} must be a JSON object")
    if _depth(call) > DEEPEST_TOOL_CALL:
        raise BadRequest(f"{what} is nested more than {DEEPEST_TOOL_CALL} levels deep")
    return call


def _depth(value: object) -> int:
    """How many levels of lists and objects there are, counted level by level."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _inside(outer)]:
        depth += 1
    return depth


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _loaded(text: str, what: str) -> object:
    try:
        return documents.loads(text)
    except BadRequest as error:
        raise BadRequest(f"{what}: {error}") from None
