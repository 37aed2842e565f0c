"""A body's bytes to a JSON document, and back: compression, JSON, binary tensors.

Knows JSON and the binary tensor data extension (KServe's and Triton's: github.com/
triton-inference-server/server, docs/protocol/extension_binary_data.md); knows neither what
a request means nor who sent it.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn, TypeGuard

from convstore.messages import dumps
from memory_api.errors import BadRequest, TooLarge, shown


def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its Content-Encoding (gzip, deflate, identity), at most `limit` bytes."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in INFLATERS:
        raise BadRequest(f"Content-Encoding {shown(coding)} is not known; use gzip or deflate")
    try:
        data = INFLATERS[coding](body, limit + 1)
    except (OSError, EOFError, zlib.error):
        raise BadRequest(f"the body is not whole and valid {coding}") from None
    if len(data) > limit:
        raise TooLarge(f"the inflated body is over the limit of {limit} bytes")
    return data


def _gunzip(body: bytes, most: int) -> bytes:
    if not body:  # which is a gzip file of no member, to the library
        raise EOFError
    return gzip.GzipFile(fileobj=io.BytesIO(body)).read(most)


def _undeflate(body: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj()
    data = inflater.decompress(body, most)
    if len(data) < most and (not inflater.eof or inflater.unused_data):
        raise EOFError
    return data


INFLATERS = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _undeflate}


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
            f"not JSON: {error.msg.removesuffix(' at')} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:  # Python's bound on the digits of an integer
        raise BadRequest("not read: it has a number with too many digits") from None


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a JSON value is an integer; to Python true and false are, too."""
    return isinstance(value, int) and not isinstance(value, bool)


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
        if tensor.get("data") is not None:
            raise BadRequest(f"{what} has both 'data' and 'binary_data_size'; send one")
        if not is_integer(size) or not 0 <= size <= len(rest):
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


# --- Document to bytes -------------------------------------------------------------------


def write(document: object) -> bytes:
    """A document as compact JSON."""
    return dumps(document, separators=(",", ":")).encode()


def write_binary(response: Mapping[str, Any], names: Collection[str]) -> tuple[bytes, int]:
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
