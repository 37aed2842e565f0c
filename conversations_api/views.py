"""The routes: one view each. Views translate; `conversation_store` does what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse
from django.utils.http import parse_etags
from rest_framework.request import Request

from api_keys.caller import APPEND, DELETE, READ
from conversations_api.access import caller_of
from conversations_api.conversation_store import Conversations
from conversations_api.errors import InvalidField, NotFound, error_response
from conversations_api.forking import fork
from conversations_api.listing import conversation_page
from conversations_api.objects import (
    chat_list_object,
    conversation_object,
    deleted_object,
    list_object,
)
from conversations_api.parts import Json
from conversations_api.requests import (
    ITEMS_QUERY,
    LIST_QUERY,
    check_query,
    is_chat_wanted,
    read_fields,
    read_fork,
    read_items,
    read_items_query,
    read_list_query,
    read_metadata,
    read_own_id,
)
from convstore.client_address import client_address
from convstore.request_log import current_record
from memory_api import bodies
from memory_api.door_view import DoorView
from memory_api.header_names import IF_MATCH, check_header_names
from memory_api.idempotency import idempotency_key
from memory_api.memories import conversations_memory, find_memory, repository
from memory_api.memory import Memory
from memory_api.received import BodyParser
from memory_api.responses import json_response


class JsonParser(BodyParser):
    def document_of(self, body: bytes, meta: Mapping[str, Any], take: bodies.Take) -> Any:
        return bodies.parse(body, settings.MAX_VALUES, take)


class ConversationsView(DoorView):
    """What all routes share: who asks, and of which memory."""

    schema = None  # the OpenAPI document is V2's
    parser_classes = (JsonParser,)
    http_method_names = ("get", "post", "put", "delete", "head")
    # What the query of each method may have; nothing where there is no entry.
    queries: ClassVar[Mapping[str, Sequence[str]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what the route would not read; there is one format and one version."""
        meta, method = request._request.META, request.method or ""
        method = "GET" if method == "HEAD" else method
        if meta.get("QUERY_STRING"):
            check_query(request.query_params, self.queries.get(method, ()))
        if method != "GET":
            headers = [name[5:].replace("_", "-") for name in meta if name.startswith("HTTP_")]
            check_header_names(headers, honoured=[IF_MATCH])

    def get_exception_handler(self) -> Any:
        return error_response

    def open(self, request: Request, memory: str | None, *scopes: str) -> Conversations:
        """The conversations that the request may use, with these scopes.

        Raises what `caller_of` and `memory_named` do, and NotAllowed.
        """
        caller = caller_of(request.method or "", request.META)
        caller.require(*scopes)
        if memory is not None:  # whether it is there or not
            caller.require_memory(memory)
        found = memory_named(memory)
        caller.require_memory(found.name)
        address = client_address(request.META, settings.TRUSTED_PROXIES)
        return Conversations(found, caller, revisions_of(request), address)


def memory_named(name: str | None) -> Memory:
    """The memory of a path; without a name, that of CONVERSATIONS_MEMORY or the only one.

    Raises NotFound, and what `find_memory` raises.
    """
    if name is not None:
        return find_memory(name)
    if chosen := conversations_memory(repository().entries):
        return find_memory(chosen)
    raise NotFound(
        "CONVERSATIONS_MEMORY names no memory for /v1, and there is not exactly one; ask for a"
        " memory as /memories/<name>/v1",
        code="memory_not_chosen",
    )


class ConversationList(ConversationsView):
    queries: ClassVar = {"GET": LIST_QUERY}

    def get(self, request: Request, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, READ)
        rows, has_more = conversation_page(conversations, read_list_query(request.query_params))
        documents = [
            conversation_object(conversations.shown_id(row.memory_id), row) for row in rows
        ]
        return json_response(list_object(documents, has_more=has_more))

    def post(self, request: Request, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, APPEND)
        fields = read_fields(request.data, "id", "items", "metadata")
        items = read_items(fields.get("items", []))
        pairs = read_metadata(fields.get("metadata", {}))
        row = conversations.create(items, pairs, read_own_id(fields), key_of(request))
        return conversation_reply(conversations, row)


class Conversation(ConversationsView):
    def get(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, READ)
        found = conversations.find(shown)
        return with_revision(conversation_reply(conversations, found.row), found.revision)

    def post(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, APPEND)
        document = request.data
        fields = read_fields(document, "metadata")
        if "metadata" not in document:
            raise InvalidField("'metadata' is missing", "metadata", "missing_required_parameter")
        pairs = read_metadata(fields.get("metadata", {}))
        return conversation_reply(
            conversations, conversations.set_metadata(shown, pairs, key_of(request))
        )

    def delete(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        self.open(request, memory, DELETE).delete(shown)
        return json_response(deleted_object(shown))


class Fork(ConversationsView):
    def post(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, READ, APPEND)
        fields = read_fork(request.data)
        return conversation_reply(
            conversations, fork(conversations, shown, fields, key_of(request))
        )


class ItemList(ConversationsView):
    queries: ClassVar = {"GET": ITEMS_QUERY, "PUT": ("from",)}

    def get(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, READ)
        query = read_items_query(request.query_params)
        if is_chat_wanted(request.query_params):
            page, revision = conversations.read_items(shown, lambda items: items.chat_page(query))
            current_record().window = len(page.chat.messages)
            return with_revision(json_response(chat_list_object(page)), revision)
        found, revision = conversations.read_items(shown, lambda items: items.page(query))
        items, has_more = found
        current_record().window = len(items)
        documents = [item.document for item in items]
        reply = json_response(list_object(documents, has_more=has_more))
        return with_revision(reply, revision)

    def post(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, APPEND)
        added = conversations.add(shown, items_of(request), key_of(request))
        return json_response(list_object([item.document for item in added], has_more=False))

    def put(self, request: Request, shown: str, memory: str | None = None) -> HttpResponse:
        conversations = self.open(request, memory, APPEND, DELETE)
        items = items_of(request)
        start = request.query_params.get("from")
        if not start:
            raise InvalidField(
                "'from' is missing in the query; name the first item that is to go, by its id or"
                " its position",
                "from",
                "missing_required_parameter",
            )
        added = conversations.replace_tail(shown, start, items, key_of(request))
        return json_response(list_object([item.document for item in added], has_more=False))


class Item(ConversationsView):
    def get(
        self, request: Request, shown: str, item: str, memory: str | None = None
    ) -> HttpResponse:
        conversations = self.open(request, memory, READ)
        return json_response(conversations.items(shown).item_at(item).document)

    def delete(
        self, request: Request, shown: str, item: str, memory: str | None = None
    ) -> HttpResponse:
        conversations = self.open(request, memory, DELETE)
        return conversation_reply(conversations, conversations.erase_item(shown, item))


class Elsewhere(ConversationsView):
    """Every other path below /v1, so that its 404 has this API's form, whatever the method."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("there is no such route", code="unknown_url")


def items_of(request: Request) -> list[Json]:
    """The items of a body that has nothing else. Raises InvalidField where there are none."""
    fields = read_fields(request.data, "items")
    if "items" not in fields:
        raise InvalidField("'items' is missing", "items", "missing_required_parameter")
    return read_items(fields["items"])


def key_of(request: Request) -> str | None:
    """The client's idempotency key. Raises BadRequest."""
    return idempotency_key({}, request.META.get("HTTP_IDEMPOTENCY_KEY"))


def revisions_of(request: Request) -> list[str] | None:
    """The revisions in which a change is wanted; None for any. Raises InvalidField."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None:
        return None
    tags = parse_etags(header)
    if not tags:
        raise InvalidField(
            "the header 'If-Match' has no revision in quotes; send an 'ETag' as it came",
            "If-Match",
            "invalid_value",
        )
    # Whoever compresses a reply makes its tag a weak one; the revision in it is the same.
    return None if "*" in tags else [tag.removeprefix("W/").strip('"') for tag in tags]


def with_revision(reply: HttpResponse, revision: str) -> HttpResponse:
    reply.headers["ETag"] = f'"{revision}"'
    return reply


def conversation_reply(conversations: Conversations, row: Any) -> HttpResponse:
    shown = conversations.shown_id(row.memory_id)
    return json_response(conversation_object(shown, row))
