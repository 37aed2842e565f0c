"""Builders of requests that are refused, and what every refusal has to be."""

from __future__ import annotations

import json
from typing import Any

from testing.bodies import append_request, append_several_request, tensor

# In each malformed request; never in the sentence that refuses it.
PRIVATE = "the kestrel flies at dawn"
LONGEST_SENTENCE = 300

# Of the services that the fixtures `limited` and `limited_mlserver` are.
MAX_BODY_BYTES = 20_000
MAX_PARTS = 10
MAX_MESSAGES = 10
MAX_TENSORS = 20
MAX_VALUES = 500


def refusal_sentence(reply: Any) -> str:
    """The sentence of an error reply, which has nothing else in it."""
    assert list(reply.document) == ["error"]
    text = reply.document["error"]
    assert isinstance(text, str)
    assert 0 < len(text) < LONGEST_SENTENCE
    assert text.strip() == text
    assert "\n" not in text
    for never in (PRIVATE, "Traceback", 'File "', "SELECT", "INSERT", "convstore_", "secret"):
        assert never not in text
    return text


def changed_request(**changes: dict[str, Any] | None) -> dict[str, Any]:
    """A request that adds a message, some of its tensors changed, or left out where None."""
    request = append_request("malformed", PRIVATE, "again")
    tensors = []
    for sent in request["inputs"]:
        change = changes.get(sent["name"], {})
        if change is not None:
            tensors.append({**sent, **change})
    return {"inputs": tensors}


def request_without(name: str, field: str) -> dict[str, Any]:
    """A request that adds a message, one tensor of which lacks a field."""
    request = append_request("malformed", PRIVATE)
    for sent in request["inputs"]:
        if sent["name"] == name:
            del sent[field]
    return request


def request_with(*extra: Any, **fields: Any) -> dict[str, Any]:
    """A request that adds a message, with more in its inputs and beside them."""
    request = append_request("malformed", PRIVATE, **fields)
    return {**request, "inputs": [*request["inputs"], *extra]}


def request_with_parameters(**parameters: Any) -> dict[str, Any]:
    return request_with(parameters=parameters)


def two_message_request(**tensors: list[list[Any] | str]) -> dict[str, Any]:
    """Two messages at once."""
    tensors = {"content": [[PRIVATE], ["b"]], **tensors}
    return append_several_request("malformed", ["user", "user"], **tensors)


def nested_list(levels: int, innermost: object) -> Any:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


CALL = json.dumps({"id": "call_1", "function": {"name": PRIVATE}})


def request_with_tensors(**tensors: list[Any]) -> dict[str, Any]:
    return request_with(*(tensor(name, data) for name, data in tensors.items()))
