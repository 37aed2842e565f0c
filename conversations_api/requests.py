"""What a request says: the fields of its document and of its query, checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import QueryDict

from conversations_api.errors import InvalidField
from conversations_api.kinds import MESSAGE, are_contents, long_form
from conversations_api.parts import Json
from convstore.archive.copying import FORKED_AT, FORKED_FROM
from convstore.messages import is_utf8
from memory_api.errors import BadRequest, TooLarge
from memory_api.json_text import json_type
from memory_api.limits import MAX_MEMORY_ID_LENGTH
from memory_api.memory_ids import checked_memory_id

MAX_PAIRS, MAX_PAIR_NAME, MAX_PAIR_VALUE = 16, 64, 512
# Of an item's id and of its type.
MAX_NAME = 255
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
ASCENDING, DESCENDING, ACTIVE = "asc", "desc", "active"
REFERENCE = "item_reference"
CHAT = "chat"


def read_fields(document: object, *known: str) -> Json:
    """The fields of a request's document; an unknown one is refused, not ignored."""
    if not isinstance(document, dict):
        raise InvalidField(f"the body is {json_type(document)}; it must be an object")
    for name in document:
        if name not in known:
            wanted = ", ".join(f"'{each}'" for each in known)
            raise InvalidField(
                f"there is no field of this name here; the fields are {wanted}",
                param=name[:100],
                code="unknown_parameter",
            )
    return {name: value for name, value in document.items() if value is not None}


def read_metadata(value: object) -> dict[str, str]:
    """Up to 16 pairs of texts, as OpenAI has them."""
    if not isinstance(value, dict):
        raise _wrong("metadata", f"is {json_type(value)}; it must be an object of strings")
    if len(value) > MAX_PAIRS:
        raise _wrong("metadata", f"has {len(value)} pairs; the limit is {MAX_PAIRS}")
    for name, text in value.items():
        if not 1 <= len(name) <= MAX_PAIR_NAME:
            raise _wrong(
                "metadata",
                f"has a name of {len(name)} characters; 1 to {MAX_PAIR_NAME} are allowed",
            )
        if not isinstance(text, str):
            raise _wrong("metadata", f"has a value that is {json_type(text)}; it must be a string")
        if len(text) > MAX_PAIR_VALUE:
            raise _wrong(
                "metadata",
                f"has a value of {len(text)} characters; the limit is {MAX_PAIR_VALUE}",
            )
    return value


def read_own_id(fields: Json) -> str | None:
    """The id that the client gives to a conversation, if it does."""
    own_id = fields.get("id")
    if own_id is None:
        return None
    if not isinstance(own_id, str):
        raise _wrong("id", f"is {json_type(own_id)}; it must be a string")
    try:
        return checked_memory_id(own_id, "id")
    except BadRequest as error:
        raise InvalidField(str(error), "id", "invalid_value") from None


@dataclass(frozen=True, slots=True)
class ForkFields:
    """What a fork is to be: the last item, by its id or its position, the id, the metadata."""

    up_to: str | int | None
    own_id: str | None
    pairs: dict[str, str]


def read_fork(document: object) -> ForkFields:
    fields = read_fields(document, "up_to", "id", "metadata")
    up_to = fields.get("up_to")
    if isinstance(up_to, bool) or not isinstance(up_to, str | int | None):
        raise _wrong(
            "up_to",
            f"is {json_type(up_to)}; it must be an item's id, a string, or a position, an integer",
        )
    pairs = read_metadata(fields.get("metadata", {}))
    if taken := pairs.keys() & {FORKED_FROM, FORKED_AT}:
        raise _wrong("metadata", f"must not have '{min(taken)}': a fork sets it itself")
    if len(pairs) > MAX_PAIRS - 2:
        raise _wrong(
            "metadata", f"has {len(pairs)} pairs; a fork has two of its own, and {MAX_PAIRS} in all"
        )
    return ForkFields(up_to, read_own_id(fields), pairs)


def read_items(value: object) -> list[Json]:
    """The items to be added, each in its long form."""
    if not isinstance(value, list):
        raise _wrong("items", f"is {json_type(value)}; it must be a list")
    if len(value) > settings.MAX_MESSAGES:
        raise TooLarge(f"the request has {len(value)} items; the limit is {settings.MAX_MESSAGES}")
    items = [_read_item(item, f"items[{n}]") for n, item in enumerate(value)]
    parts = sum(_part_count(item) for item in items)
    if parts > settings.MAX_PARTS:
        raise TooLarge(f"the items have {parts} parts; the limit is {settings.MAX_PARTS}")
    ids = Counter(item["id"] for item in items if "id" in item)
    if ids and max(ids.values()) > 1:
        raise _wrong("items", "has two items with the same id; an id is given once")
    return items


def _read_item(value: object, where: str) -> Json:
    """An item in its long form, without what only the server says, its position."""
    if not isinstance(value, dict):
        raise _wrong(where, f"is {json_type(value)}; it must be an object")
    item = {name: each for name, each in value.items() if name != "position"}
    for name in ("id", "type"):
        if item.get(name) is None:
            item.pop(name, None)
        else:
            _check_name(item[name], f"{where}.{name}")
    if "type" not in item:
        item["type"] = _kind_of(item, where)
    if item["type"] == MESSAGE:
        _check_message(item, where)
    return long_form(item)


def _check_name(value: object, where: str) -> None:
    if not isinstance(value, str):
        raise _wrong(where, f"is {json_type(value)}; it must be a string")
    if not 1 <= len(value) <= MAX_NAME:
        raise _wrong(where, f"has {len(value)} characters; it must have 1 to {MAX_NAME}")
    if not is_utf8(value):
        raise _wrong(where, "contains a lone surrogate; it must have none")


def _kind_of(item: Json, where: str) -> str:
    if "role" in item:
        return MESSAGE
    if item.keys() == {"id"}:
        return REFERENCE
    raise _wrong(f"{where}.type", "is missing; name the type of the item")


def _check_message(item: Json, where: str) -> None:
    if not isinstance(item.get("role"), str) or not item["role"]:
        raise _wrong(f"{where}.role", "is missing or no string; a message needs a role")
    content = item.get("content")
    if not isinstance(content, str) and not are_contents(content):
        raise _wrong(
            f"{where}.content",
            f"is {json_type(content)}; it must be a string, or a list of objects that each have a"
            " 'type'",
        )


def _part_count(item: Json) -> int:
    content = item.get("content", item.get("output"))
    return len(content) if isinstance(content, list) else 1


# --- Queries -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page of a list: at most `limit` entries behind `after`, in this order."""

    limit: int
    order: str
    after: str | None


# OpenAI's SDKs send a list as `include[]`. All that is stored is always included, in every reply.
INCLUDE = frozenset({"include", "include[]"})
PAIR = re.compile(r"metadata\[(.*)\]", re.DOTALL)
# What the query of a list of conversations has for any name that PAIR matches.
ANY_PAIR = "metadata[name]"
PAGE_QUERY = ("limit", "order", "after")
LIST_QUERY = (*PAGE_QUERY, ANY_PAIR, "prefix")
ITEMS_QUERY = (*PAGE_QUERY, "format")


def check_query(query: QueryDict, known: Sequence[str]) -> None:
    """Refuse a name that the route does not know, or that was sent twice."""
    for name, values in query.lists():
        if name in INCLUDE:
            continue
        if (ANY_PAIR if PAIR.fullmatch(name) else name) not in known:
            wanted = ", ".join(f"'{each}'" for each in (*known, "include"))
            raise _wrong(name[:100], f"is not known in the query of this route; it takes {wanted}")
        if len(values) > 1:
            raise _wrong(name[:100], f"was sent {len(values)} times; send it once")


def read_items_query(query: Mapping[str, Any]) -> PageQuery:
    """Which page of a conversation's items."""
    return _page_query(query, (DESCENDING, ASCENDING))


def _page_query(query: Mapping[str, Any], orders: Sequence[str]) -> PageQuery:
    order = query.get("order") or orders[0]
    if order not in orders:
        raise _wrong("order", f"must be {' or '.join(orders)}")
    return PageQuery(_limit(query.get("limit")), order, query.get("after") or None)


def is_chat_wanted(query: Mapping[str, Any]) -> bool:
    """Whether items are asked for as messages of Chat Completions."""
    wanted = query.get("format")
    if wanted not in (None, CHAT):
        raise _wrong("format", f"must be {CHAT}, or left out for items")
    return wanted is not None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which page of the conversations: in this order, those with a pair of metadata, or those
    whose ids begin with a prefix."""

    limit: int
    order: str
    after: str | None
    pair: tuple[str, str] | None
    prefix: str | None


LIST_ORDERS = (DESCENDING, ASCENDING, ACTIVE)


def read_list_query(query: Mapping[str, Any]) -> ListQuery:
    """One pair at most, in order of creation, the newest first; or a prefix, in order of ids."""
    pairs = [(found[1], query[name]) for name in query if (found := PAIR.fullmatch(name))]
    page = _page_query(query, LIST_ORDERS)
    if len(pairs) > 1:
        raise _wrong("metadata", "was sent with several pairs; a list takes one")
    if pairs and page.order != DESCENDING:
        raise _wrong("order", f"must be {DESCENDING} beside 'metadata'")
    prefix = query.get("prefix")
    if prefix is not None:
        _refuse_wrong_prefix(prefix, "order" if "order" in query else "metadata" * bool(pairs))
    return ListQuery(page.limit, page.order, page.after, pairs[0] if pairs else None, prefix)


def _refuse_wrong_prefix(prefix: str, other: str) -> None:
    """`other` is a parameter that came beside it."""
    if other:
        raise _wrong(
            "prefix",
            f"was sent with '{other}'; a list by prefix is in order of ids and takes neither"
            " 'order' nor 'metadata'; send one of the three",
        )
    if len(prefix) > MAX_MEMORY_ID_LENGTH:
        raise _wrong(
            "prefix", f"has {len(prefix)} characters; it must have up to {MAX_MEMORY_ID_LENGTH}"
        )
    if "\0" in prefix or not is_utf8(prefix):
        raise _wrong("prefix", "contains a NUL or a lone surrogate; it must have neither")


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise _wrong("limit", f"must be an integer from 1 to {MAX_LIMIT}")
    return limit


def _wrong(param: str, problem: str) -> InvalidField:
    return InvalidField(f"'{param}' {problem}", param=param, code="invalid_value")
