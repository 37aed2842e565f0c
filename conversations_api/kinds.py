"""Which items are messages, calls of functions and their outputs.

A message may be in its short form: without a type, or with a string as its content.
"""

from __future__ import annotations

from conversations_api.parts import Json, default_text

MESSAGE, CALL, OUTPUT = "message", "function_call", "function_call_output"


def is_message(item: Json) -> bool:
    """Whether it has a role and content, in the long form or the short one."""
    content = item.get("content")
    return (
        item.get("type", MESSAGE) == MESSAGE
        and _are_texts(item, "role")
        and (isinstance(content, str) or are_contents(content))
    )


def long_form(item: Json) -> Json:
    """The item, with its type and a list as its content if it is a message."""
    if not is_message(item):
        return item
    content = item["content"]
    if isinstance(content, str):
        content = [default_text(content, item["role"])]
    return {**item, "type": MESSAGE, "content": content}


def is_call(item: Json) -> bool:
    return item.get("type") == CALL and _are_texts(item, "call_id", "name", "arguments")


def is_output(item: Json) -> bool:
    return (
        item.get("type") == OUTPUT
        and _are_texts(item, "call_id")
        and (isinstance(item.get("output"), str) or are_contents(item.get("output")))
    )


def are_contents(value: object) -> bool:
    """Whether a value is the content of a message: a list of objects that have a type."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and isinstance(each.get("type"), str) for each in value
    )


def _are_texts(item: Json, *names: str) -> bool:
    return all(isinstance(item.get(name), str) for name in names)
