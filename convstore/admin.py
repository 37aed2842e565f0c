"""Where people inspect conversations: a list, and a read-only page of the last messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string

from convstore.models import Conversation, Message

SHOWN_MESSAGES = 50

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Conversation]
else:
    ModelAdmin = admin.ModelAdmin  # generic for the type checker only


@admin.register(Conversation)
class ConversationAdmin(ModelAdmin):
    list_display = ("memory_id", "messages", "created_at", "active_at")
    list_per_page = 50
    show_full_result_count = False
    ordering = ("-created_at", "-id")
    fields = ("memory_id", "messages", "created_at", "active_at", "transcript")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False

    @admin.display(description="messages")
    def messages(self, conversation: Conversation) -> int:
        """How many there are: the highest position, one step down the primary key."""
        newest = _newest(conversation).values_list("position", flat=True)
        return next(iter(newest[:1]), 0)

    @admin.display(description=f"last {SHOWN_MESSAGES} messages")
    def transcript(self, conversation: Conversation) -> str:
        shown = reversed(_newest(conversation)[:SHOWN_MESSAGES])
        context = {"messages": [_shown(message) for message in shown]}
        return render_to_string("convstore/transcript.html", context)


def _newest(conversation: Conversation) -> QuerySet[Message]:
    return Message.objects.filter(conversation_id=conversation.pk).order_by("-position")


def _shown(message: Message) -> dict[str, Any]:
    element = json.loads(message.body)
    return {"position": message.position, "created_at": message.created_at, **element}
