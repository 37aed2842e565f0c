"""Items of every type that OpenAI's Python SDK defines, as JSON values."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from hypothesis import strategies as st
from openai.types.conversations import ConversationItem
from openai.types.responses import ResponseInputItem
from pydantic import BaseModel

# Lone surrogates, a NUL, escapes, and texts that look like something else.
AWKWARD = ["", "\ud83d", "a\0b", '{"type": "text"}', "null", "👋🏽\r\n\u2028", '"\\u0041"']
texts = st.one_of(st.text(max_size=10), st.sampled_from(AWKWARD))
numbers = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(10**40)
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(),
    float: st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    bool: st.booleans(),
    type(None): st.none(),
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """JSON values of a type that a model's field has."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values_of(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(texts, values_of(arguments[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return objects_of(annotation)
    assert not is_typeddict(annotation)
    return PLAIN.get(annotation, json_values)


def objects_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    required: dict[Any, st.SearchStrategy[Any]] = {}
    optional: dict[Any, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        place = required if field.is_required() else optional
        place[field.alias or name] = _deferred(field.annotation)
    return st.fixed_dictionaries(required, optional=optional)


def _deferred(annotation: Any) -> st.SearchStrategy[Any]:
    def define() -> st.SearchStrategy[Any]:
        return values_of(annotation)

    return st.deferred(define)


def models_in(union: Any) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for each in get_args(union):
        if isinstance(each, type) and issubclass(each, BaseModel):
            found.append(each)
        else:
            found += models_in(each)
    return found


MODELS = list(dict.fromkeys(models_in(ResponseInputItem) + models_in(ConversationItem)))
item_ids = st.one_of(st.none(), st.uuids().map("my_{}".format))
unknown_items = st.dictionaries(texts, json_values, max_size=4).flatmap(
    lambda fields: texts.filter(lambda kind: kind.isascii() and kind).map(
        lambda kind: {**fields, "type": f"new_{kind}"}
    )
)


def with_fresh_id(item: dict[str, Any], item_id: str | None) -> dict[str, Any]:
    """An id that no other item has; also none at all, or null."""
    return {**item, "id": item_id} if "id" in item else item


def sendable(models: list[type[BaseModel]] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Items that a client may send."""
    of_models = st.one_of(*map(objects_of, models or MODELS))
    found = of_models if models else st.one_of(of_models, unknown_items)
    return st.builds(with_fresh_id, found, item_ids).filter(has_type)


def has_type(item: dict[str, Any]) -> bool:
    """Also one that is left out: of a message, or of a reference, which is nothing but an id."""
    is_short = "role" in item or (item.get("id") is not None and item.keys() <= {"id", "type"})
    return item.get("type") is not None or is_short


def long_form(item: dict[str, Any]) -> dict[str, Any]:
    """What comes back, without the id and the position that the server gives."""
    long = {name: value for name, value in item.items() if name != "position"}
    if long.get("id", "") is None:
        del long["id"]
    if long.get("type") is None:
        long["type"] = "message" if "role" in long else "item_reference"
    if long["type"] == "message" and isinstance(long["content"], str):
        text: dict[str, Any] = {"type": "input_text", "text": long["content"]}
        if long["role"] == "assistant":
            text = {"type": "output_text", "text": long["content"], "annotations": []}
        long["content"] = [text]
    return long
