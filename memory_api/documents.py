"""The bytes of a V2 body to a JSON document, and back: JSON and binary tensors.

The binary tensor data extension is KServe's and Triton's: github.com/triton-inference-server/
server, docs/protocol/extension_binary_data.md. Knows neither what a request means nor who
sent it.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from convstore.messages import TOKENS
from memory_api.bodies import Take, ignore_size, parse, write
from memory_api.errors import BadRequest, TooLarge, quote
from memory_api.input_tensors import INTEGER_TYPES
from memory_api.json_text import is_integer
from memory_api.limits import BYTES_OF_A_VALUE

HEADER_LENGTH = "Inference-Header-Content-Length"


def read(
    body: bytes,
    header_length: str | None = None,
    *,
    max_values: int = 2**31,
    take: Take = ignore_size,
) -> object:
    """The JSON document in `body`. The `data` of a binary tensor becomes a list of bytes.

    `header_length` is the header HEADER_LENGTH: how many bytes are JSON. More than `max_values`
    JSON values and elements of binary tensors are TooLarge. `take` is told what the values take.
    """
    if header_length is None:
        return parse(body, max_values, take)
    if not (header_length.isascii() and header_length.isdigit()):
        raise BadRequest(f"{HEADER_LENGTH} must be a number of bytes")
    length = int(header_length[:20])
    if length > len(body):
        raise BadRequest(f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes")
    document = parse(body[:length], max_values, take)
    _insert_binary_data(document, memoryview(body)[length:], max_values, take)
    return document


def _insert_binary_data(document: object, rest: memoryview, max_values: int, take: Take) -> None:
    """Set the `data` of each binary tensor. `rest` has them in the order of the inputs."""
    values = max_values
    inputs = document.get("inputs") if isinstance(document, dict) else None
    for tensor in inputs if isinstance(inputs, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            continue
        what = f"tensor {quote(str(tensor.get('name')))}"
        if tensor.get("data") is not None:
            raise BadRequest(f"{what} has both 'data' and 'binary_data_size'; send one")
        if not is_integer(size) or not 0 <= size <= len(rest):
            raise BadRequest(
                f"binary_data_size of {what} must be an integer from 0 to {len(rest)}, which is how"
                " many bytes are left"
            )
        tensor["data"] = list(islice(_elements(tensor, rest[:size], what), values + 1))
        values -= len(tensor["data"])
        take(BYTES_OF_A_VALUE * len(tensor["data"]))
        if values < 0:
            raise TooLarge(
                f"the binary tensors are over the limit of {max_values} elements together"
            )
        rest = rest[size:]
    if rest:
        raise BadRequest(f"{len(rest)} bytes follow the last binary tensor; send none")


def _elements(
    tensor: Mapping[str, Any], blob: memoryview, what: str
) -> Iterator[bytes] | Iterator[int]:
    datatype = tensor.get("datatype")
    if datatype == "BYTES":
        return _split(blob, what)
    if tensor.get("name") == TOKENS and datatype in INTEGER_TYPES:
        return _unpack(blob, INTEGER_TYPES[datatype], what)
    return iter(())  # pipelines also send outputs of other steps, which no memory reads


def _unpack(blob: memoryview, kind: str, what: str) -> Iterator[int]:
    try:
        for (number,) in struct.iter_unpack(f"<{kind}", blob):
            yield number
    except struct.error:
        raise BadRequest(f"the binary data of {what} ends inside an element") from None


def _split(blob: memoryview, what: str) -> Iterator[bytes]:
    """The elements of a binary BYTES tensor: each follows its length, 4 bytes little-endian."""
    while blob:
        length = int.from_bytes(blob[:4], "little")
        if len(blob) < 4 + length:
            raise BadRequest(f"the binary data of {what} ends inside an element")
        yield bytes(blob[4 : 4 + length])
        blob = blob[4 + length :]


# --- Document to bytes -------------------------------------------------------------------


def write_binary(response: Mapping[str, Any], names: Collection[str]) -> tuple[bytes, int]:
    """The response as JSON, then the outputs `names` as binary data; and the length of the JSON."""
    outputs: list[Mapping[str, Any]] = []
    pieces: list[bytes] = []
    for output in response["outputs"]:
        if output["name"] not in names:
            outputs.append(output)
            continue
        size = 0
        for data in map(str.encode, output["data"]):
            pieces += struct.pack("<I", len(data)), data
            size += 4 + len(data)
        without_data = {key: value for key, value in output.items() if key != "data"}
        parameters = {**output["parameters"], "binary_data_size": size}
        outputs.append({**without_data, "parameters": parameters})
    header = write({**response, "outputs": outputs})
    return b"".join([header, *pieces]), len(header)
