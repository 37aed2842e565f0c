"""Builders of V2 documents. They check nothing: tests do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any


def tensor(name: str, data: Any, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "shape": [1],
        "datatype": "BYTES",
        "data": data,
        "parameters": {"content_type": "str"},
        **changes,
    }


def document(*tensors: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**fields, "inputs": list(tensors)}


def read_request(memory_id: str, **fields: Any) -> dict[str, Any]:
    """A request that only reads."""
    return document(tensor("memory_id", [memory_id]), **fields)


def append_request(
    memory_id: str, *parts: str, role: str = "user", **fields: Any
) -> dict[str, Any]:
    """A request that adds one message of text parts."""
    return document(
        tensor("memory_id", [memory_id]),
        tensor("role", [role]),
        tensor("content", list(parts)),
        tensor("type", ["text"] * len(parts)),
        **fields,
    )


def append_several_request(
    memory_id: str, roles: Sequence[str], **tensors: Sequence[list[Any] | str]
) -> dict[str, Any]:
    """A request that adds one message for each role; item n of a tensor is message n's list.

    A list is sent as JSON, an empty one as "", a string as it is.
    """
    return document(
        tensor("memory_id", [memory_id]),
        tensor("role", list(roles), shape=[len(roles)]),
        *(
            tensor(name, [_list_text(item) for item in items], shape=[len(items)])
            for name, items in tensors.items()
        ),
    )


def _list_text(item: list[Any] | str) -> str:
    if isinstance(item, str):
        return item
    return json.dumps(item) if item else ""


def pack_elements(*elements: bytes) -> bytes:
    """The elements of a binary BYTES tensor, each behind its length."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def unpack_elements(blob: bytes) -> Iterator[bytes]:
    """The elements that `packed` put together."""
    while blob:
        end = 4 + int.from_bytes(blob[:4], "little")
        yield blob[4:end]
        blob = blob[end:]


def flat_elements(data: Any) -> list[Any]:
    """The elements of a tensor's data, however it is nested, row-major."""
    return (
        [element for item in data for element in flat_elements(item)]
        if isinstance(data, list)
        else [data]
    )


def binary_tensor(name: str, size: Any, **changes: Any) -> dict[str, Any]:
    """A tensor whose data, `size` bytes of it, follows the JSON."""
    return {
        "name": name,
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": size},
        **changes,
    }


def binary_body(fields: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    """A body with binary data behind its JSON, and the header that says where that begins."""
    header = json.dumps(fields).encode()
    return b"".join([header, *blobs]), {"Inference-Header-Content-Length": str(len(header))}


def new_id() -> str:
    return str(uuid.uuid4())
