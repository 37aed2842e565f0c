"""The grammar of the Open Inference Protocol (V2): documents and tensors.

Knows no memory, no bytes and no Django. The protocol is the one of
github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from memory_api.documents import is_integer
from memory_api.errors import BadRequest, shown


class Tensor(TypedDict):
    """A BYTES tensor of text: `data` has prod(`shape`) strings, here always [n, 1]."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any]
    data: list[str]


class InferResponse(TypedDict, total=False):
    """The reply to an inference request. `model_version` only where there is one."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[Tensor]


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor as it was sent: `elements` flattened row-major, not yet known to be text."""

    name: str
    datatype: str
    elements: Sequence[object]


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that is asked for."""

    name: str
    binary: bool = False


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request; `outputs` is None when all are wanted."""

    id: str | None
    parameters: Mapping[str, Any]
    inputs: Sequence[Input]
    outputs: Sequence[Output] | None
    binary: bool  # what an output is that does not say so itself

    def strings(self, name: str) -> list[str] | None:
        """The elements of the BYTES tensor `name`; None when it was not sent."""
        found = [tensor for tensor in self.inputs if tensor.name == name]
        if not found:
            return None
        if len(found) > 1:
            raise BadRequest(f"tensor '{name}' was sent {len(found)} times; send it once")
        return list(_strings(found[0]))


# --- Document to request -----------------------------------------------------------------


def parse(document: object) -> InferRequest:
    """The request that a JSON document holds. Raises BadRequest. Unknown fields are ignored."""
    fields = _object(document, "the request")
    request_id = fields.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest(f"'id' is {_kind(request_id)}; it must be a string")
    if "inputs" not in fields:
        raise BadRequest("'inputs' is missing; send a list of tensors")
    parameters = _parameters(fields, "the request")
    binary = _flag(parameters, "binary_data_output", False)
    inputs = _list(fields["inputs"], "'inputs'")
    outputs = fields.get("outputs")
    outputs = [] if outputs is None else _list(outputs, "'outputs'")
    return InferRequest(
        id=request_id,
        parameters=parameters,
        inputs=[_input(tensor, f"inputs[{n}]") for n, tensor in enumerate(inputs)],
        outputs=[_output(tensor, f"outputs[{n}]", binary) for n, tensor in enumerate(outputs)]
        or None,
        binary=binary,
    )


def _input(tensor: object, where: str) -> Input:
    fields = _object(tensor, where)
    name = _name(fields, where)
    what = f"tensor {shown(name)}"
    for field in ("shape", "datatype", "data"):
        if field not in fields:
            raise BadRequest(f"'{field}' of {what} is missing")
    for size in _list(fields["shape"], f"'shape' of {what}"):
        # Not held against the data: clients declare [1] and send two values.
        if not is_integer(size) or size < 0:
            raise BadRequest(f"'shape' of {what} must be a list of sizes")
    datatype = fields["datatype"]
    if not isinstance(datatype, str):
        raise BadRequest(f"'datatype' of {what} is {_kind(datatype)}; it must be a string")
    _parameters(fields, what)
    return Input(name, datatype, list(_flat(fields["data"])))


def _output(tensor: object, where: str, binary: bool) -> Output:
    fields = _object(tensor, where)
    name = _name(fields, where)
    parameters = _parameters(fields, f"output {shown(name)}")
    return Output(name, _flag(parameters, "binary_data", binary))


def _flat(data: object) -> Iterator[object]:
    """The elements of `data`, however it is nested, row-major. One bare value is one element."""
    stack = [iter([data])]
    while stack:
        for value in stack[-1]:
            if isinstance(value, list):
                stack.append(iter(value))
                break
            yield value
        else:
            stack.pop()


def _strings(tensor: Input) -> Iterator[str]:
    if tensor.datatype != "BYTES":
        raise BadRequest(
            f"tensor '{tensor.name}' has datatype {shown(tensor.datatype)}; it must be BYTES"
        )
    for n, element in enumerate(tensor.elements):
        if isinstance(element, bytes):
            try:
                yield element.decode()
            except UnicodeDecodeError:
                raise BadRequest(f"element {n} of tensor '{tensor.name}' is not UTF-8") from None
        elif isinstance(element, str):
            yield element
        else:
            raise BadRequest(
                f"element {n} of tensor '{tensor.name}' is {_kind(element)}; it must be a string"
            )


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is {_kind(value)}; it must be an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{what} is {_kind(value)}; it must be a list")
    return value


def _name(fields: Mapping[str, Any], where: str) -> str:
    if "name" not in fields:
        raise BadRequest(f"'name' of {where} is missing")
    name = fields["name"]
    if not isinstance(name, str):
        raise BadRequest(f"'name' of {where} is {_kind(name)}; it must be a string")
    return name


def _parameters(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    value = fields.get("parameters")
    return {} if value is None else _object(value, f"'parameters' of {what}")


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name)
    if value is None:  # null is what a client sends that has nothing to say
        return default
    if not isinstance(value, bool):
        raise BadRequest(f"'{name}' is {_kind(value)}; it must be true or false")
    return value


def _kind(value: object) -> str:
    """What a JSON value is, for a sentence: never the value, which may be long or private."""
    for types, kind in (
        (type(None), "null"),
        (bool, "a boolean"),
        (int | float, "a number"),
        (str, "a string"),
        (list, "a list"),
        (dict, "an object"),
    ):
        if isinstance(value, types):
            return kind
    return "binary data"


# --- Answer to document ------------------------------------------------------------------


def tensor(name: str, values: Collection[str]) -> Tensor:
    """A BYTES tensor of text as MLServer's `str` codec makes it, shape [n, 1]."""
    return {
        "name": name,
        "shape": [len(values), 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "str"},
        "data": list(values),
    }
