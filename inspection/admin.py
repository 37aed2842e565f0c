"""The admin's lists: conversations, and the audit log of who read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from convstore.archive.history import with_prefix, with_summary
from convstore.models import Conversation
from convstore.store import conversation_key
from inspection.audit import Action, record
from inspection.databases import by_alias, chosen
from inspection.inert import visible
from inspection.lists import ActionFilter, DatabaseFilter, KeysetAdmin, OrderFilter, PeriodFilter
from inspection.models import AuditEntry
from inspection.transcript import first_line
from inspection.views import deleting, exporting, reading, searching
from inspection.views.guard import guarded, may_delete, may_read


def _shown_time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""


@admin.register(Conversation)
class ConversationAdmin(KeysetAdmin):
    list_filter = (DatabaseFilter, OrderFilter, PeriodFilter)
    search_fields = ("memory_id",)
    search_help_text = "The id of a conversation, or its beginning."
    actions = ("export_openai", "export_markdown", "export_stored", "delete")

    def get_urls(self) -> list[Any]:
        """Only pages of our own: the rest of Django's would load a conversation whole."""
        name = "convstore_conversation_{}".format
        one = "<uuid:key>/"
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=name("changelist")),
            path("search/", searching.search, name=name("search")),
            path("delete/", deleting.delete, name=name("delete")),
            path(one, reading.transcript, name=name("change")),
            path(f"{one}export/<str:kind>/", exporting.export, name=name("export")),
            path(f"{one}<int:position>/", reading.message, name=name("message")),
            path(f"{one}<int:position>/<int:number>/", reading.part, name=name("part")),
        ]

    # --- The list ------------------------------------------------------------------------

    @guarded("convstore.view_conversation")
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "title": "Conversations", "database": chosen(request)}
        context["may_read"] = may_read(request)
        return super().changelist_view(request, context)

    def time_of(self, request: HttpRequest) -> str:
        return "active_at" if request.GET.get("by") == "active" else "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        rows = Conversation.objects.using(chosen(request).alias)
        return with_summary(rows, opening=may_read(request))

    def found(self, rows: QuerySet[Any], query: str, limit: int) -> list[Any]:
        """The one of that id, then those whose ids begin with it, by id."""
        exact = list(rows.filter(pk=conversation_key(query)))
        longer = with_prefix(rows, query).exclude(pk=conversation_key(query))[:limit]
        # A database may take one letter for another; people see what they asked for.
        found = [row for row in (*exact, *longer) if row.memory_id.startswith(query)]
        return sorted(found, key=lambda row: row.memory_id)[:limit]

    def shown(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        """Who sees how conversations open has opened them; who sends an action has not."""
        if request.method != "POST":
            opened = [(row.pk, row.memory_id) for row in rows if getattr(row, "opening", None)]
            record(request.user, chosen(request), Action.FIRST_LINE, opened)
        for row in rows:
            row.may_be_read = may_read(request)
            row.memory_id = visible(row.memory_id)  # Django has the row's name in a label, too
        return rows

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        opening = ["first_line"] if may_read(request) else []
        return ["conversation", *opening, "messages", "last_role", "last_change", "created"]

    @admin.display(description="conversation")
    def conversation(self, row: Any) -> SafeString:
        shown = format_html("<bdi>{}</bdi>", row.memory_id)
        if not row.may_be_read:
            return shown
        page = reverse("admin:convstore_conversation_change", args=[row.pk])
        return format_html('<a href="{}">{}</a>', by_alias(row._state.db).address(page), shown)

    @admin.display(description="first line")
    def first_line(self, row: Any) -> SafeString:
        line = first_line(row.opening)
        return format_html('<span class="first-line" dir="auto">{}</span>', line)

    @admin.display(description="messages", empty_value="0")
    def messages(self, row: Any) -> Any:
        return row.length

    @admin.display(description="last role")
    def last_role(self, row: Any) -> str:
        return visible(row.last_role or "")

    @admin.display(description="last change (UTC)")
    def last_change(self, row: Any) -> str:
        return _shown_time(row.changed_at)

    @admin.display(description="created (UTC)")
    def created(self, row: Any) -> str:
        return _shown_time(row.created_at)

    # --- Actions -------------------------------------------------------------------------

    def has_read_permission(self, request: HttpRequest) -> bool:
        return may_read(request)

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return may_delete(request)

    def _exported(
        self, request: HttpRequest, rows: QuerySet[Conversation], kind: str
    ) -> HttpResponseBase:
        return exporting.file_of(request, chosen(request), list(rows[: self.list_per_page]), kind)

    @admin.action(description="Export: OpenAI chat (JSONL)", permissions=["read"])
    def export_openai(self, request: HttpRequest, rows: Any) -> HttpResponseBase:
        return self._exported(request, rows, "openai")

    @admin.action(description="Export: Markdown", permissions=["read"])
    def export_markdown(self, request: HttpRequest, rows: Any) -> HttpResponseBase:
        return self._exported(request, rows, "markdown")

    @admin.action(description="Export: as stored (JSONL)", permissions=["read"])
    def export_stored(self, request: HttpRequest, rows: Any) -> HttpResponseBase:
        return self._exported(request, rows, "stored")

    @admin.action(description="Delete ...", permissions=["erase"])
    def delete(self, request: HttpRequest, rows: Any) -> HttpResponseBase:
        page = reverse("admin:convstore_conversation_delete")
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)[: self.list_per_page]
        return HttpResponseRedirect(chosen(request).address(page, id=keys))


@admin.register(AuditEntry)
class AuditAdmin(KeysetAdmin):
    list_display = ("time", "username", "action", "memory_id_shown", "detail_shown", "database")
    list_filter = (ActionFilter, PeriodFilter)
    search_fields = ("username",)
    search_help_text = "The id of a conversation, or the name of a user, exactly."
    actions = None

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="inspection_auditentry_changelist")]

    @guarded("inspection.view_auditentry")
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "title": "Audit log"})

    def time_of(self, request: HttpRequest) -> str:
        return "at"

    def found(self, rows: QuerySet[Any], query: str, limit: int) -> list[Any]:
        by_user = rows.filter(username=query)[:limit]
        of_conversation = rows.filter(conversation=conversation_key(query))[:limit]
        newest = {row.pk: row for row in (*by_user, *of_conversation)}.values()
        return sorted(newest, key=lambda row: (row.at, row.pk), reverse=True)[:limit]

    @admin.display(description="time (UTC)")
    def time(self, entry: AuditEntry) -> str:
        return _shown_time(entry.at)

    @admin.display(description="conversation")
    def memory_id_shown(self, entry: AuditEntry) -> SafeString:
        return format_html("<bdi>{}</bdi>", visible(entry.memory_id))

    @admin.display(description="detail")
    def detail_shown(self, entry: AuditEntry) -> SafeString:
        return format_html("<bdi>{}</bdi>", visible(entry.detail))
