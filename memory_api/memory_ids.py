"""The name of a conversation, as every door takes it."""

from __future__ import annotations

from convstore.messages import is_utf8
from memory_api.errors import BadRequest
from memory_api.limits import MAX_MEMORY_ID_LENGTH


def checked_memory_id(memory_id: str, field: str = "memory_id") -> str:
    """The id, if it can name a conversation. Raises BadRequest, which names the `field`."""
    length = len(memory_id.encode("utf-16-le", "surrogatepass")) // 2
    if not 1 <= length <= MAX_MEMORY_ID_LENGTH:
        raise BadRequest(
            f"'{field}' has {length} characters, counted as in UTF-16; it must have 1 to"
            f" {MAX_MEMORY_ID_LENGTH}"
        )
    if "\0" in memory_id or not is_utf8(memory_id):
        raise BadRequest(f"'{field}' contains a NUL or a lone surrogate; it must have neither")
    return memory_id
