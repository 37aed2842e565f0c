"""What OpenAI's own types dump goes in as the README sends it, and comes back.

The cases are made out of `openai.types.chat`, so a new type or field of it is a new case.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from testing.bodies import document, new_id, tensor
from testing.service import OPENAI_TENSORS
from tests.doors import GRPC_DOORS, JSON_DOORS, at
from tests.openai_messages import Dump, cases, message_types

KEPT = ("tool_calls", "tool_call_id", "name", "refusal")

# --- Cases out of OpenAI's types ---------------------------------------------------------

CASES = {
    name: dump
    for name, dump in cases()
    if dump.get("content") is None or isinstance(dump["content"], str)
    if any(value for field, value in dump.items() if field not in ("role", "name", "id"))
}


def test_the_cases_are_of_all_of_openais_types():
    found = {name.split()[0] for name in CASES}
    assert found == set(message_types())
    assert {"ChatCompletionStoreMessage", "ChatCompletionToolMessageParam"} <= found
    assert len(CASES) > 50
    fields = {field for dump in CASES.values() for field in dump}
    assert fields <= {*OPENAI_TENSORS}


# --- The README's way --------------------------------------------------------------------


def sent(memory_id: str, dump: Dump, *, as_text: bool = False) -> dict[str, Any]:
    """The README's request: a tensor for each field, its value in a list unless it is one."""
    tensors = []
    for name, value in {"memory_id": memory_id, **dump}.items():
        data = value if isinstance(value, list) else [value]
        if as_text:  # gRPC has no objects, and no nulls
            data = [each if isinstance(each, str) else json.dumps(each) for each in data if each]
        if data:
            tensors.append(tensor(name, data, shape=[len(data)]))
    return document(*tensors)


def assert_came_back(message: dict[str, Any], dump: Dump, fields: tuple[str, ...]) -> None:
    assert message["role"] == dump["role"]
    assert message["content"] == [{"type": "text", "value": dump.get("content") or ""}]
    for field in fields:
        value = dump.get(field)
        if field in ("tool_calls", "tool_call_id") or not value:
            assert message.get(field) == (value or None), field
        else:
            texts = value if isinstance(value, list) else [value]
            found = [json.loads(text) if text[:1] == "{" else text for text in message[field]]
            assert found == texts, field


def has_what_is_kept(dump: Dump) -> bool:
    return any(dump.get(field) for field in ("content", *KEPT) if field != "name")


@at(*JSON_DOORS)
def test_by_default_what_openai_dumps_is_stored_and_comes_back(door):
    for name, dump in CASES.items():
        if has_what_is_kept(dump):
            reply = door.infer(sent(new_id(), dump), "default")
            assert reply.status == 200, (name, reply.document)
            assert_came_back(reply.messages[0], dump, KEPT)


@at(*JSON_DOORS)
def test_what_is_only_in_other_fields_is_refused_and_not_stored_empty(door, rows):
    others = [dump for dump in CASES.values() if not has_what_is_kept(dump)]
    assert others
    before = rows()
    for dump in others:
        assert door.infer(sent(new_id(), dump), "default").status == door.bad_request
    assert rows() == before


@at(*JSON_DOORS)
def test_a_memory_that_names_every_field_keeps_all_of_them(door):
    fields = tuple(name for name in OPENAI_TENSORS if name not in ("role", "content", "type"))
    for name, dump in CASES.items():
        reply = door.infer(sent(new_id(), dump), "openai")
        assert reply.status == 200, (name, reply.document)
        assert_came_back(reply.messages[0], dump, fields)


@at(*GRPC_DOORS)
def test_in_grpc_the_same_goes_as_texts(door):
    for name, dump in CASES.items():
        reply = door.infer(sent(new_id(), dump, as_text=True), "openai")
        assert reply.status == 200, (name, reply.document)
        assert_came_back(reply.messages[0], dump, KEPT)


@at(*JSON_DOORS)
@pytest.mark.parametrize("beside", ["tool_calls", "refusal"])
def test_null_content_is_an_empty_text_also_where_its_type_was_sent(door, beside):
    value = {"tool_calls": ['{"id": "c"}'], "refusal": ["no"]}[beside]
    request = document(
        tensor("memory_id", [new_id()]),
        tensor("role", ["assistant"]),
        tensor("content", [None]),
        tensor("type", ["text"]),
        tensor(beside, value),
    )
    (message,) = door.infer(request, "default").messages
    assert message["content"] == [{"type": "text", "value": ""}]
