"""The ids of conversations and items, as paths and documents have them."""

from __future__ import annotations

import base64
import json
import re
import uuid
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from convstore.messages import is_utf8

# Servers and proxies decode and merge slashes, so other ids are shown as base64url.
PLAIN = re.compile(r"[A-Za-z0-9._~:@-]+")
ENCODED = "mid_"
DOTS = (".", "..")
# The items of a row are counted from 0; the first one's id has no number.
MADE = re.compile(r"([a-z]+)_([0-9a-f]{32})(?:_([1-9][0-9]{0,8}))?")

# How the ids of items begin, as at OpenAI.
PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "compaction": "cmp",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "file_search_call": "fs",
    "web_search_call": "ws",
    "image_generation_call": "ig",
    "code_interpreter_call": "ci",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
}
OTHER_PREFIX = "item"


def new_conversation_id(memory: str, tenant: str, key: str | None, *source: str) -> str:
    """An id that nobody else has; with an idempotency key, the same again for the same sender.

    `source` is the id of the conversation of which it is a fork.
    """
    if key is None:
        return f"conv_{uuid.uuid4().hex}"
    text = json.dumps(["conversation", memory, tenant, key, *source])
    return f"conv_{sha256(text.encode()).hexdigest()[:32]}"


def shown_id(memory_id: str) -> str:
    """The id of a conversation in documents and paths."""
    is_plain = PLAIN.fullmatch(memory_id) and memory_id not in DOTS
    if is_plain and not memory_id.startswith(ENCODED):
        return memory_id
    return ENCODED + base64.urlsafe_b64encode(memory_id.encode()).decode().rstrip("=")


def memory_id_of(shown: str) -> str | None:
    """The memory_id that is meant by an id in a path; None if there can be none."""
    if not shown.startswith(ENCODED):
        return shown if is_utf8(shown) and "\0" not in shown else None
    text = shown.removeprefix(ENCODED)
    try:
        memory_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None
    return memory_id if shown_id(memory_id) == shown else None


class MadeId(NamedTuple):
    """The id of an item to which its client gave none: by its row's request_key and its number."""

    request_key: UUID
    number: int


def item_id(kind: str, request_key: UUID, number: int) -> str:
    suffix = f"_{number + 1}" if number else ""
    return f"{PREFIXES.get(kind, OTHER_PREFIX)}_{request_key.hex}{suffix}"


def made_id(text: str) -> MadeId | None:
    """What an id says that the server may have made; None for a client's own."""
    found = MADE.fullmatch(text)
    if not found:
        return None
    return MadeId(UUID(hex=found[2]), int(found[3] or 1) - 1)
