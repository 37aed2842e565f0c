"""What a model-settings.json says of windows. Each function raises SettingsError."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from convstore.windows import ITEMS, MESSAGE, MESSAGES, TOOL_PAIR, UNITS
from memory_api.limits import MAX_TOKENS, MAX_WINDOW_SIZE
from memory_api.memory import DEFAULT_WINDOW_SIZE, TOOL_TENSORS
from memory_api.settings_section import Section, Warn

WINDOW_FIELDS = ("window_size", "window_unit", "window_tokens", "window_items")


def window_size(config: Section, warn: Warn) -> int:
    """How many messages a window has at most. `warn` is told if no reply may have so many."""
    size: int = config.take("window_size", DEFAULT_WINDOW_SIZE, int)
    if not 1 <= size <= MAX_WINDOW_SIZE:
        raise config.error("window_size", size, f"an integer from 1 to {MAX_WINDOW_SIZE}")
    if size > settings.MAX_WINDOW:
        warn(
            f"{config.where}: {config.path_of('window_size')} is {size}, but a reply has at most"
            f" {settings.MAX_WINDOW} messages (MAX_WINDOW)"
        )
    return size


def window_unit(config: Section, tensor_names: Sequence[str]) -> str:
    """What a window is made of: messages, or turns of tools that are there whole."""
    unit: str = config.take("window_unit", MESSAGE, str)
    if unit not in UNITS:
        raise config.error("window_unit", unit, " or ".join(map(repr, UNITS)))
    if unit == TOOL_PAIR and not TOOL_TENSORS.issubset(tensor_names):
        wanted = f"{MESSAGE!r}, since tensor_names lack 'tool_calls' or 'tool_call_id'"
        raise config.error("window_unit", unit, wanted)
    return unit


def window_tokens(config: Section) -> int | None:
    """How many tokens a window has at most; None if they are not counted."""
    tokens: int | None = config.take("window_tokens", None, int)
    if tokens is not None and not 1 <= tokens <= MAX_TOKENS:
        raise config.error("window_tokens", tokens, f"null or an integer from 1 to {MAX_TOKENS}")
    return tokens


def window_items(config: Section) -> str:
    """Which items of the Conversations API are in windows."""
    items: str = config.take("window_items", MESSAGES, str)
    if items not in ITEMS:
        raise config.error("window_items", items, " or ".join(map(repr, ITEMS)))
    return items
