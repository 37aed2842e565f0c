"""The grammar of the Open Inference Protocol (V2): documents and tensors.

Knows neither memories nor the bytes of a body. The protocol is specified in
github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

from memory_api.errors import BadRequest, TooLarge, quote
from memory_api.input_tensors import Input, elements_of, integers_of, is_null, strings_of
from memory_api.json_text import is_integer, json_type

# What a request's document may have.
FIELDS = {"id", "parameters", "inputs", "outputs"}


class Tensor(TypedDict):
    """An output, a BYTES tensor of text. Its shape is always [n, 1], for n strings in `data`."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any]
    data: list[str]


class InferResponse(TypedDict, total=False):
    """The reply to an inference request. A memory without a version has no `model_version`."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[Tensor]


class Output(NamedTuple):
    """A tensor that the client requests."""

    name: str
    binary: bool = False
    parameters: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request; `outputs` is None if the client requests none by name."""

    id: str | None
    parameters: Mapping[str, Any]
    inputs: Sequence[Input]
    outputs: Sequence[Output] | None
    binary: bool  # whether outputs are binary by default
    unknown_fields: Collection[str] = ()

    def strings(self, name: str) -> list[str] | None:
        """The elements of the BYTES tensor `name`; None if it was not sent."""
        tensor = self._input(name)
        return None if tensor is None else strings_of(tensor)

    def dumped_strings(self, name: str, *, objects: bool) -> list[str] | None:
        """As `strings`, of a tensor that may hold what a program dumped out of its own types.

        If all elements are null, it was not sent. With `objects`, an element may be a JSON object;
        it becomes JSON text.
        """
        tensor = self._input(name)
        if tensor is None or is_null(tensor):
            return None
        return strings_of(tensor, objects=objects)

    def integers(self, name: str) -> list[int] | None:
        """The elements of the tensor of integers `name`; None if it was not sent, or all null."""
        tensor = self._input(name)
        return None if tensor is None or is_null(tensor) else integers_of(tensor)

    def _input(self, name: str) -> Input | None:
        found = [tensor for tensor in self.inputs if tensor.name == name]
        if len(found) > 1:
            raise BadRequest(f"tensor '{name}' was sent {len(found)} times; send it once")
        return found[0] if found else None


# --- Document to request -----------------------------------------------------------------


def parse(document: object, max_tensors: int = 2**31) -> InferRequest:
    """The request in a JSON document.

    Raises BadRequest, and TooLarge for more inputs or outputs than `max_tensors`.
    """
    fields = _object(document, "the request")
    request_id = fields.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest(f"'id' is {json_type(request_id)}; it must be a string")
    if "inputs" not in fields:
        raise BadRequest("'inputs' is missing; send a list of tensors")
    parameters = _parameters(fields, "the request")
    binary = flag(parameters, "binary_data_output", False)
    inputs = _list(fields["inputs"], "'inputs'")
    outputs = fields.get("outputs")
    outputs = [] if outputs is None else _list(outputs, "'outputs'")
    for name, tensors in (("inputs", inputs), ("outputs", outputs)):
        if len(tensors) > max_tensors:
            raise TooLarge(f"'{name}' has {len(tensors)} tensors; the limit is {max_tensors}")
    return InferRequest(
        id=request_id,
        parameters=parameters,
        inputs=[_input(tensor, f"inputs[{n}]") for n, tensor in enumerate(inputs)],
        outputs=[_output(tensor, f"outputs[{n}]", binary) for n, tensor in enumerate(outputs)]
        or None,
        binary=binary,
        unknown_fields=unknown_fields(fields),
    )


def unknown_fields(document: Mapping[str, Any]) -> Collection[str]:
    """The names in a request's document that V2 does not have, and that are not null."""
    return {name for name in document.keys() - FIELDS if document[name] is not None}


def parse_index_request(document: object) -> bool:
    """Whether the repository's index shall list only models that are ready. Raises BadRequest."""
    fields = _object(document, "the request")
    for name in fields:
        if name != "ready":
            raise BadRequest(f"there is no field {quote(name)} here; the only one is 'ready'")
    return flag(fields, "ready", False)


def _input(tensor: object, where: str) -> Input:
    fields = _object(tensor, where)
    name = _name(fields, where)
    what = f"tensor {quote(name)}"
    for field in ("shape", "datatype", "data"):
        if field not in fields:
            raise BadRequest(f"'{field}' of {what} is missing")
    for size in _list(fields["shape"], f"'shape' of {what}"):
        # The shape need not agree with the data: clients declare [1] and send two values.
        if not is_integer(size) or size < 0:
            raise BadRequest(f"'shape' of {what} must be a list of integers of at least 0")
    datatype = fields["datatype"]
    if not isinstance(datatype, str):
        raise BadRequest(f"'datatype' of {what} is {json_type(datatype)}; it must be a string")
    parameters = _parameters(fields, what)
    return Input(name, datatype, elements_of(fields["data"]), parameters)


def _output(tensor: object, where: str, binary: bool) -> Output:
    fields = _object(tensor, where)
    name = _name(fields, where)
    parameters = _parameters(fields, f"output {quote(name)}")
    return Output(name, flag(parameters, "binary_data", binary), parameters)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is {json_type(value)}; it must be an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{what} is {json_type(value)}; it must be a list")
    return value


def _name(fields: Mapping[str, Any], where: str) -> str:
    if "name" not in fields:
        raise BadRequest(f"'name' of {where} is missing")
    name = fields["name"]
    if not isinstance(name, str):
        raise BadRequest(f"'name' of {where} is {json_type(name)}; it must be a string")
    return name


def _parameters(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    value = fields.get("parameters")
    return {} if value is None else _object(value, f"'parameters' of {what}")


def flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name)
    if value is None:  # some clients send null for a parameter that they do not set
        return default
    if not isinstance(value, bool):
        raise BadRequest(f"parameter '{name}' is {json_type(value)}; it must be true or false")
    return value


# --- Values to tensor --------------------------------------------------------------------


def text_tensor(name: str, values: Collection[str]) -> Tensor:
    """A BYTES tensor of text, as MLServer's `str` codec makes it."""
    return {
        "name": name,
        "shape": [len(values), 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "str"},
        "data": list(values),
    }
