"""The list of conversations, and the models of the admin's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from convstore.archive.conversations import (
    ConversationRow,
    conversations,
    find_by_memory_id,
    with_summary,
)
from convstore.escaping import escape_controls
from convstore.models import Conversation
from convstore.store import conversation_key
from inspection import audit_list  # noqa: F401 - the other list
from inspection.audit import Action, record_list
from inspection.databases import database_with_alias, requested_database
from inspection.export import FORMATS
from inspection.filters import (
    DatabaseFilter,
    MetadataFilter,
    OrderFilter,
    PeriodFilter,
    TenantFilter,
)
from inspection.items import kind_in
from inspection.lists import (
    FURTHER_THAN,
    NEWER_THAN,
    OLDER_THAN,
    ORDER_PARAMETER,
    KeysetAdmin,
    isolated_text,
)
from inspection.metadata import pairs_in_a_row, title_of
from inspection.parts import first_line, kinds_in
from inspection.times import time_element
from inspection.views import (
    deleting,
    exporting,
    job_pages,
    job_parts,
    jobs,
    messages,
    reading,
    searching,
)
from inspection.views.access import may_delete, may_read, requires
from inspection.views.pages import list_with_pair_url, page_url, service_url

if apps.is_installed("api_keys"):  # which somebody else's project need not have
    from inspection import key_admin  # noqa: F401 - the list of API keys


def _export_action(kind: str, title: str) -> Callable[..., HttpResponseBase]:
    """The action of the list that exports the selected conversations in the format `kind`."""

    @admin.action(description=f"Export: {title}", permissions=["read"])
    def export(
        model_admin: ConversationAdmin, request: HttpRequest, rows: QuerySet[ConversationRow]
    ) -> HttpResponseBase:
        selected = list(rows[: model_admin.list_per_page])
        return exporting.download(request, requested_database(request), selected, kind)

    export.__name__ = f"export_{kind}"  # Django names the action after the function
    return export


@admin.register(Conversation)
class ConversationAdmin(KeysetAdmin):
    list_filter = (DatabaseFilter, OrderFilter, PeriodFilter, TenantFilter, MetadataFilter)
    search_fields = ("memory_id",)
    search_help_text = "Conversation id, or how it begins"
    actions = (*(_export_action(kind, each.title) for kind, each in FORMATS.items()), "delete")

    def get_urls(self) -> list[Any]:
        """Only our own pages. Django's pages would load a whole conversation."""
        name = "convstore_conversation_{}".format
        one = "<uuid:key>/"
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=name("changelist")),
            path("search/", searching.search, name=name("search")),
            path("delete/", deleting.delete, name=name("delete")),
            path("all/", jobs.begin, name=name("all")),
            path("jobs/", jobs.jobs, name=name("jobs")),
            path("jobs/<int:number>/", jobs.job, name=name("job")),
            path("jobs/<int:number>/part/", job_parts.part, name=name("part_of_job")),
            path(one, reading.transcript, name=name("change")),
            path(f"{one}export/<str:kind>/", exporting.export, name=name("export")),
            path(f"{one}<int:position>/", messages.message, name=name("message")),
            path(f"{one}<int:position>/json/", messages.message_json, name=name("json")),
            path(f"{one}<int:position>/text/", messages.message_text, name=name("text")),
            path(f"{one}<int:position>/<int:number>/", messages.part, name=name("part")),
        ]

    # --- The list ------------------------------------------------------------------------

    @method_decorator(requires("convstore.view_conversation"))
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            **(extra_context or {}),
            "title": "Conversations",
            "database": requested_database(request),
            "may_read": may_read(request),
            "base_url": service_url(request),
        }
        if may_read(request) or may_delete(request):
            kept = request.GET.copy()
            for cursor in (OLDER_THAN, NEWER_THAN, FURTHER_THAN):
                kept.pop(cursor, None)
            context["all_url"] = job_pages.all_url(context["database"], kept.urlencode())
        response = super().changelist_view(request, context)
        if shown := (getattr(response, "context_data", None) or {}).get("cl"):
            # It is rendered later, so the entry is written before anything is shown.
            self._record_view(request, shown)
        return response

    def _record_view(self, request: HttpRequest, shown: Any) -> None:
        named = [(row.pk, row.memory_id) for row in shown.result_list]
        detail = "first lines" if may_read(request) else "ids"
        if query := request.GET.get(SEARCH_VAR):
            detail += f"; ids that begin with {query}"
        if tenant := request.GET.get("tenant"):
            detail += f"; of the tenant {tenant}"
        if name := request.GET.get("pair"):
            detail += f"; with metadata {name}: {request.GET.get('value', '')}"
        record_list(request, requested_database(request), Action.LIST, named, detail)

    def time_field(self, request: HttpRequest) -> str:
        return "active_at" if request.GET.get(ORDER_PARAMETER) == "active" else "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConversationRow]:
        rows = conversations(requested_database(request).alias)
        return with_summary(rows, opening=may_read(request))

    def find_rows(
        self, rows: QuerySet[Any], query: str, limit: int, cursor: str | None
    ) -> tuple[list[Any], str | None]:
        after = None
        if cursor:
            key, _, memory_id = cursor.partition("~")
            after = memory_id, UUID(key)
        matches, last = find_by_memory_id(rows, query, conversation_key(query), limit, after)
        return matches, f"{last[1]}~{last[0]}" if last else None

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        for row in rows:
            row.list_query = request.GET.urlencode()  # a link leads back to this page of the list
        return rows

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return ["conversation", "messages", "last_activity", "created"]

    def action_checkbox(self, obj: ConversationRow) -> SafeString:
        """Django's checkbox, with the control characters in its label made visible."""
        label = f"Select this object for an action - {escape_controls(obj.memory_id)}"
        attributes = {"class": "action-select", "aria-label": label}
        checkbox = forms.CheckboxInput(attributes, lambda value: False)
        return checkbox.render(ACTION_CHECKBOX_NAME, str(obj.pk))

    @admin.display(description="conversation")
    def conversation(self, row: Any) -> SafeString:
        """The title or what was said first, the id, what there is beside text, and metadata."""
        memory_id = isolated_text(row.memory_id)
        if not hasattr(row, "opening"):  # the user may not read conversations
            return memory_id
        database = database_with_alias(row._state.db)
        url = page_url(database, "change", row.pk, list=row.list_query)
        beginnings = row.opening or "", row.closing or ""
        kinds = [*kinds_in(beginnings), *filter(None, map(kind_in, beginnings))]
        return format_html(
            '<a href="{}"><span class="first-line" dir="auto">{}</span> {}</a>{}{}',
            url,
            title_of(row) or first_line(row.opening),
            memory_id,
            format_html_join("", ' <span class="kind">{}</span>', ((kind,) for kind in kinds)),
            format_html_join(
                "",
                ' <a class="kind" href="{}"><bdi>{}</bdi></a>',
                (
                    (list_with_pair_url(database, pair), pair.short_text)
                    for pair in pairs_in_a_row(row)
                ),
            ),
        )

    @admin.display(description="messages", empty_value="0")
    def messages(self, row: Any) -> Any:
        return row.message_count

    @admin.display(description="last activity")
    def last_activity(self, row: Any) -> str:
        return time_element(row.last_message_at, "minute") if row.last_message_at else ""

    @admin.display(description="created")
    def created(self, row: Any) -> str:
        return time_element(row.created_at, "minute")

    # --- Actions -------------------------------------------------------------------------

    def has_read_permission(self, request: HttpRequest) -> bool:
        return may_read(request)

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return may_delete(request)

    @admin.action(description="Delete ...", permissions=["erase"])
    def delete(self, request: HttpRequest, rows: Any) -> HttpResponseBase:
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)[: self.list_per_page]
        from_list = request.GET.urlencode()
        url = page_url(requested_database(request), "delete", id=keys, list=from_list)
        return HttpResponseRedirect(url)
