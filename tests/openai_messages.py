"""Messages of every kind, made out of `openai.types.chat`: a new type or field is a new case."""

from __future__ import annotations

import inspect
import itertools
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from openai import BaseModel
from openai.types import chat
from typing_extensions import is_typeddict

Dump = dict[str, Any]


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
    if origin is not None:  # a list, or what may be iterated: of all, and of one of each
        items = values_of(arguments[0])
        return [items, *([item] for item in items if len(items) > 1)]
    return [made(hint, {name: values_of(each)[0] for name, each in fields_of(hint).items()})]


def made(kind: Any, fields: Dump) -> Any:
    return kind(**fields) if issubclass(kind, BaseModel) else fields


def cases() -> Iterator[tuple[str, Dump]]:
    """Each type's messages of every value of each field, alone and with all others."""
    for name, kind in message_types().items():
        fields = {field: values_of(hint) for field, hint in fields_of(kind).items()}
        role = fields.pop("role")[0]
        full = {field: values[0] for field, values in fields.items()}
        for field, number, value in itertools.chain.from_iterable(
            ((field, number, value) for number, value in enumerate(values))
            for field, values in fields.items()
        ):
            alone = {"content": None, "name": "f", "tool_call_id": "c", "id": "i", field: value}
            alone = {each: given for each, given in alone.items() if each in fields}
            for which, more in (("alone", alone), ("all", {**full, field: value})):
                message = made(kind, {"role": role, **more})
                for nulls in (True, False) if isinstance(message, BaseModel) else (True,):
                    spelled = f"{name} {which} {field} {number} {str(value)[:20]} nulls={nulls}"
                    yield spelled, dumped(message, nulls)


def dumped(message: Any, nulls: bool) -> Dump:
    """A dictionary, as a program makes it out of a message."""
    if isinstance(message, BaseModel):
        return message.model_dump(exclude_none=not nulls)
    return json.loads(json.dumps(message, default=dumped_with_nulls))  # type: ignore[no-any-return]


def dumped_with_nulls(message: Any) -> Dump:
    return dumped(message, True)
