"""Idempotency: the key of a request, and what follows from it.

A client's own key counts for every memory. Where it sends none, a memory with
`"idempotency": "request_id"` makes one of the request's id and messages. The unique constraint on
(conversation, request_key) settles two deliveries at once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from convstore.messages import Message
from memory_api.errors import BadRequest
from memory_api.json_text import json_type
from memory_api.limits import MAX_KEY_CHARACTERS
from memory_api.memory import Memory

PARAMETER, HEADER = "idempotency_key", "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a door knows of a request beside its document: headers or gRPC's metadata, a query.

    A header that was sent more than once has all its values, with commas in between.
    """

    request_id: str | None = None
    idempotency_key: str | None = None
    header_names: Collection[str] = ()
    # Of the query in the URL, where the door has one.
    query_names: Collection[str] = ()


def idempotency_key(parameters: Mapping[str, Any], header: str | None) -> str | None:
    """The client's own key, out of the parameter or the header. Raises BadRequest."""
    parameter = parameters.get(PARAMETER)
    if parameter is not None and not isinstance(parameter, str):
        raise BadRequest(f"parameter '{PARAMETER}' is {json_type(parameter)}; it must be a string")
    if header is not None and not (header.isascii() and header.isprintable()):
        # Headers have no agreed encoding: two doors would read two keys.
        raise BadRequest(
            f"header '{HEADER}' has other characters than printable ASCII; send such a key as"
            f" parameter '{PARAMETER}'"
        )
    if header is not None and "," in header:
        # Servers and proxies join the values of a header that was sent twice.
        raise BadRequest(
            f"header '{HEADER}' has a comma, or was sent twice; send it once, and a key with a"
            f" comma as parameter '{PARAMETER}'"
        )
    if None not in (parameter, header) and parameter != header:
        raise BadRequest(
            f"header '{HEADER}' and parameter '{PARAMETER}' differ; send one of them, or the same"
            " key in both"
        )
    key = parameter if header is None else header
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        raise BadRequest(
            f"the idempotency key has {len(key)} characters; it must have 1 to {MAX_KEY_CHARACTERS}"
        )
    return key


def request_key(
    memory: Memory,
    memory_id: str,
    key: str | None,
    request_id: str | None,
    messages: Sequence[Message],
) -> UUID | None:
    """The store's key for a request that adds messages; None if each delivery is to be stored.

    The memory's name is a part of it, without the version that Seldon's agent appends: the steps
    of a pipeline may share a key, and the next version may get the same request again.

    The messages are no part of a client's key: the store refuses the key with other messages. They
    are a part of a request id's, since a step in a cycle is asked many times under one id.
    """
    if key is not None:
        return _hash("idempotency key", memory.step, memory_id, key)
    if memory.once_per_request_id and request_id:
        return _hash(memory.step, request_id, *(message.to_json() for message in messages))
    return None


def reply_id(memory: Memory, memory_id: str, key: str | None) -> str:
    """The id of a reply to a request without one. With a key, it is the same each time."""
    if key is None:
        return str(uuid.uuid4())
    return str(_hash("reply id", memory.step, memory_id, key))


def _hash(*identity: str) -> UUID:
    return UUID(bytes=sha256(json.dumps(identity).encode()).digest()[:16], version=4)
