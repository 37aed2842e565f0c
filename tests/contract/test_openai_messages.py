"""What OpenAI's own types dump goes in as the README sends it, and comes back.

The cases are made out of `openai.types.chat`, so a new type or field of it is a new case.
"""

from __future__ import annotations

import inspect
import itertools
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pytest
from openai import BaseModel
from openai.types import chat
from typing_extensions import is_typeddict

from testing.bodies import document, new_id, tensor
from testing.service import OPENAI_TENSORS
from tests.doors import GRPC_DOORS, JSON_DOORS, at

KEPT = ("tool_calls", "tool_call_id", "name", "refusal")
Dump = dict[str, Any]

# --- Cases out of OpenAI's types ---------------------------------------------------------


def message_types() -> dict[str, Any]:
    """All types of whole messages: models, and the dictionaries that requests hold."""
    return {
        name: kind
        for name, kind in vars(chat).items()
        if inspect.isclass(kind) and {"role", "content"} <= set(fields_of(kind))
        if name.endswith(("Message", "MessageParam"))
    }


def fields_of(kind: Any) -> dict[str, Any]:
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return typing.get_type_hints(kind) if is_typeddict(kind) else {}


SIMPLE: dict[Any, Any] = {
    type(None): None,
    str: "a text, é 😀",
    int: 1,
    object: {"any": "thing"},
    Any: {"any": "thing"},
}


def values_of(hint: Any) -> list[Any]:
    """Values of a type: one of each kind that it may be."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in SIMPLE or isinstance(hint, TypeVar):
        return [SIMPLE.get(hint, SIMPLE[Any])]
    if origin is Literal:
        return [arguments[0]]
    if origin in (Union, types.UnionType):
        return [value for each in arguments for value in values_of(each)]
    if origin in (typing.Required, typing.NotRequired, typing.Annotated):
        return values_of(arguments[0])
    if origin is dict:
        return [{"key": values_of(arguments[1])[0]}]
    if origin is not None:  # a list, or what may be iterated
        return [values_of(arguments[0])]
    return [made(hint, {name: values_of(each)[0] for name, each in fields_of(hint).items()})]


def made(kind: Any, fields: Dump) -> Any:
    return kind(**fields) if issubclass(kind, BaseModel) else fields


def cases() -> Iterator[tuple[str, Dump]]:
    """Each type's messages of every value of each field, alone and with all others."""
    for name, kind in message_types().items():
        fields = {field: values_of(hint) for field, hint in fields_of(kind).items()}
        role = fields.pop("role")[0]
        full = {field: values[0] for field, values in fields.items()}
        for field, value in itertools.chain.from_iterable(
            ((field, value) for value in values) for field, values in fields.items()
        ):
            alone = {"content": None, "name": "f", "tool_call_id": "c", "id": "i", field: value}
            alone = {each: given for each, given in alone.items() if each in fields}
            for which, more in (("alone", alone), ("all", {**full, field: value})):
                message = made(kind, {"role": role, **more})
                for nulls in (True, False) if isinstance(message, BaseModel) else (True,):
                    spelled = f"{name} {which} {field}={str(value)[:20]} nulls={nulls}"
                    yield spelled, dumped(message, nulls)


def dumped(message: Any, nulls: bool) -> Dump:
    """A dictionary, as a program makes it out of a message."""
    if isinstance(message, BaseModel):
        return message.model_dump(exclude_none=not nulls)
    return json.loads(json.dumps(message, default=dumped_with_nulls))  # type: ignore[no-any-return]


def dumped_with_nulls(message: Any) -> Dump:
    return dumped(message, True)


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
