"""Builders of V2 documents. They check nothing: tests do."""

from __future__ import annotations

import uuid
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


def recall(memory_id: str, **fields: Any) -> dict[str, Any]:
    """A request that only reads."""
    return document(tensor("memory_id", [memory_id]), **fields)


def said(memory_id: str, *parts: str, role: str = "user", **fields: Any) -> dict[str, Any]:
    """A request that adds one message of text parts."""
    return document(
        tensor("memory_id", [memory_id]),
        tensor("role", [role]),
        tensor("content", list(parts)),
        tensor("type", ["text"] * len(parts)),
        **fields,
    )


def new_id() -> str:
    return str(uuid.uuid4())
