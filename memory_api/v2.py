"""The grammar of the Open Inference Protocol (V2): bytes, documents, tensors.

Knows no memory and no Django. The protocol is the one of
github.com/kserve/open-inference-protocol; the binary tensor data extension is KServe's
and Triton's.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypedDict

from convstore.messages import dumps
from memory_api.errors import BadRequest, TooLarge


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


# --- Bytes to document -------------------------------------------------------------------


def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its Content-Encoding (gzip, deflate, identity), at most `limit` bytes."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise BadRequest(f"Content-Encoding '{coding}' is not known; use gzip, deflate or none")
    # 47: a zlib or a gzip header, whichever comes.
    inflater = zlib.decompressobj(wbits=47)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest(f"the body is not valid {coding}") from None
    if len(data) > limit:
        raise TooLarge(f"the inflated body is over the limit of {limit} bytes")
    if not inflater.eof:
        raise BadRequest(f"the {coding} body ends too early")
    if inflater.unused_data:
        raise BadRequest(f"{len(inflater.unused_data)} bytes follow the {coding} body")
    return data


def read(body: bytes, header_length: str | None = None) -> object:
    """The JSON document that `body` holds, binary tensors put in their places as bytes.

    `header_length` is the header Inference-Header-Content-Length: how many bytes are JSON.
    """
    if header_length is None:
        return _json(body)
    if not (header_length.isascii() and header_length.isdigit()):
        raise BadRequest("Inference-Header-Content-Length is not a number of bytes")
    length = int(header_length[:20])
    if length > len(body):
        raise BadRequest(
            f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes"
        )
    document = _json(body[:length])
    _fill_in(document, memoryview(body)[length:])
    return document


def _json(body: bytes) -> object:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    try:
        return loads(text)
    except BadRequest as error:
        raise BadRequest(f"the body is {error}") from None


def loads(text: str) -> object:
    """The value that JSON text holds, and nothing that is not JSON. Raises BadRequest."""
    try:
        return json.loads(text, parse_constant=_not_json, parse_float=_float)
    except RecursionError:
        raise BadRequest("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:  # Python's bound on the digits of an integer
        raise BadRequest("not read: it has a number with too many digits") from None


def _not_json(constant: str) -> NoReturn:
    raise BadRequest(f"not JSON: {constant} is no number there")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadRequest("not read: it has a number that is too large")
    return value


def _fill_in(document: object, rest: memoryview) -> None:
    """Put each binary tensor's elements in place as its `data`, in the order of the inputs."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    for tensor in inputs if isinstance(inputs, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            continue
        what = f"tensor {shown(str(tensor.get('name')))}"
        if not _is_int(size) or not 0 <= size <= len(rest):
            raise BadRequest(
                f"binary_data_size of {what} is not a size within the {len(rest)} bytes left"
            )
        if tensor.get("datatype") == "BYTES":
            tensor["data"] = list(_split(rest[:size], what))
        else:  # not ours to read; a pipeline hands whole outputs on
            tensor["data"] = []
        rest = rest[size:]
    if rest:
        raise BadRequest(f"{len(rest)} bytes follow the last binary tensor")


def _split(blob: memoryview, what: str) -> Iterator[bytes]:
    """The elements of a binary BYTES tensor: a length (4 bytes, little-endian), then itself."""
    while blob:
        length = int.from_bytes(blob[:4], "little")
        if len(blob) < 4 + length:
            raise BadRequest(f"the binary data of {what} ends inside an element")
        yield bytes(blob[4 : 4 + length])
        blob = blob[4 + length :]


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
        if not _is_int(size) or size < 0:
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
    name = fields.get("name")
    if not isinstance(name, str):
        raise BadRequest(f"'name' of {where} is {_kind(name)}; it must be a string")
    return name


def _parameters(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    value = fields.get("parameters")
    return {} if value is None else _object(value, f"'parameters' of {what}")


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"'{name}' is {_kind(value)}; it must be true or false")
    return value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def shown(word: str) -> str:
    """A client's own word inside a sentence: quoted, and cut where it is long."""
    return json.dumps(word if len(word) <= 40 else word[:40] + "...")


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


# --- Answer to bytes ---------------------------------------------------------------------


def tensor(name: str, values: Collection[str]) -> Tensor:
    """A BYTES tensor of text as MLServer's `str` codec makes it, shape [n, 1]."""
    return {
        "name": name,
        "shape": [len(values), 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "str"},
        "data": list(values),
    }


def write(document: object) -> bytes:
    """A document as compact JSON."""
    return dumps(document, separators=(",", ":")).encode()


def write_binary(response: InferResponse, names: Collection[str]) -> tuple[bytes, int]:
    """The response with the outputs `names` as binary data behind the JSON; the JSON's length."""
    outputs: list[Mapping[str, Any]] = []
    blobs = []
    for output in response["outputs"]:
        if output["name"] not in names:
            outputs.append(output)
            continue
        blob = b"".join(
            struct.pack("<I", len(data)) + data for data in map(str.encode, output["data"])
        )
        without_data = {key: value for key, value in output.items() if key != "data"}
        size = {**output["parameters"], "binary_data_size": len(blob)}
        outputs.append({**without_data, "parameters": size})
        blobs.append(blob)
    header = write({**response, "outputs": outputs})
    return b"".join([header, *blobs]), len(header)
