"""The asynchronous form of a method."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

Self = TypeVar("Self")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_thread(
    method: Callable[Concatenate[Self, Parameters], Result],
) -> Callable[Concatenate[Self, Parameters], Coroutine[Any, Any, Result]]:
    """The same method for asynchronous code, with an `a` before its name."""

    @wraps(method)
    async def wait(self: Self, /, *given: Parameters.args, **named: Parameters.kwargs) -> Result:
        return await sync_to_async(method)(self, *given, **named)

    wait.__name__ = f"a{method.__name__}"
    wait.__doc__ = (
        f"`{method.__name__}` for asynchronous code; it runs in a thread, as Django's ORM does."
    )
    return wait
