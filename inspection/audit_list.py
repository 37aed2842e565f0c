"""The list of the audit log, and its export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import BadRequest
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from convstore.archive.conversations import older_rows
from convstore.conf import audit_log_days
from convstore.escaping import escape_json
from convstore.messages import dumps
from convstore.store import conversation_key
from inspection.audit import Action, record_event, record_log_view
from inspection.cursors import cursor_of, time_and_key
from inspection.databases import Database, databases
from inspection.filters import ActionFilter, PeriodFilter
from inspection.lists import KeysetAdmin, isolated_text
from inspection.models import AuditEntry, ListedConversation
from inspection.views.access import LOG, may_read, requires
from inspection.views.pages import SANDBOX_HEADERS, page_url

# How many entries are read from the database at once.
ENTRIES_PER_CHUNK = 500


@admin.register(AuditEntry)
class AuditAdmin(KeysetAdmin):
    list_display = ("time", "username", "action", "about", "detail_text", "address", "database")
    list_filter = (ActionFilter, PeriodFilter)
    search_fields = ("username",)
    search_help_text = "Conversation id or user name, exactly"
    actions = None

    def get_urls(self) -> list[Any]:
        view, name = self.admin_site.admin_view, "inspection_auditentry_{}".format
        return [
            path("", view(self.changelist_view), name=name("changelist")),
            path("export/", view(self.export), name=name("export")),
        ]

    @method_decorator(requires(LOG))
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        query = request.GET.urlencode()
        context = {
            **(extra_context or {}),
            "title": "Audit log",
            "export_url": reverse("admin:inspection_auditentry_export") + (query and f"?{query}"),
            "days": audit_log_days(),
        }
        response = super().changelist_view(request, context)
        if "cl" in (getattr(response, "context_data", None) or {}):
            # It is rendered later, so the entry is written before anything is shown.
            record_log_view(request, _filter_of(request))
        return response

    def time_field(self, request: HttpRequest) -> str:
        return "at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        listed = Prefetch("listed", ListedConversation.objects.order_by("pk"))
        return super().get_queryset(request).prefetch_related(listed)

    def find_rows(
        self, rows: QuerySet[Any], query: str, limit: int, cursor: str | None
    ) -> tuple[list[Any], str | None]:
        if cursor:
            rows = older_rows(rows, "at", *time_and_key(cursor, AuditEntry))
        # One query for each index.
        found = [rows.filter(condition)[: limit + 1] for condition in _conditions(query)]
        unique = {row.pk: row for each in found for row in each}.values()
        matches = sorted(unique, key=lambda row: (row.at, row.pk), reverse=True)
        further = cursor_of(matches[limit - 1], "at") if len(matches) > limit else None
        return matches[:limit], further

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        named = {each.name[:200]: each for each in databases()} if may_read(request) else {}
        for row in rows:
            row.shown_in = named.get(row.database)
        return rows

    # --- Columns -------------------------------------------------------------------------

    @admin.display(description="time (UTC)")
    def time(self, entry: AuditEntry) -> str:
        return f"{entry.at:%Y-%m-%d %H:%M}"

    @admin.display(description="conversation")
    def about(self, entry: Any) -> SafeString | str:
        """The conversation; those of a list are folded."""
        listed = entry.listed.all()
        if not listed:
            return _conversation_link(entry.shown_in, entry.conversation, entry.memory_id)
        lines = (
            (_conversation_link(entry.shown_in, each.conversation, each.memory_id),)
            for each in listed
        )
        return format_html(
            "<details><summary>{} conversations</summary><ul>{}</ul></details>",
            len(listed),
            format_html_join("", "<li>{}</li>", lines),
        )

    @admin.display(description="detail")
    def detail_text(self, entry: AuditEntry) -> SafeString:
        return isolated_text(entry.detail)

    # --- Export --------------------------------------------------------------------------

    @method_decorator(requires(LOG))
    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """The entries of the list, all of its pages, one JSON object in each line."""
        try:
            shown = self.neighbours(request)
        except IncorrectLookupParameters as error:
            raise BadRequest("The days of the period must be dates, as in 2026-11-28.") from error
        rows = shown.queryset
        if shown.query:
            by_user, of_conversation, in_list = _conditions(request.GET[SEARCH_VAR])
            rows = rows.filter(by_user | of_conversation | in_list)
        record_event(request, Action.LOG_EXPORT, _filter_of(request))
        return StreamingHttpResponse(
            _lines(rows),
            content_type="application/jsonl",
            headers={
                **SANDBOX_HEADERS,
                "Content-Disposition": 'attachment; filename="audit-log.jsonl"',
            },
        )


def _filter_of(request: HttpRequest) -> str:
    """Which entries the list shows on all of its pages, for people."""
    names = SEARCH_VAR, *ActionFilter.parameter_names(), *PeriodFilter.parameter_names()
    given = [f"{name} {value}" for name in names if (value := request.GET.get(name))]
    return ", ".join(given) or "all entries"


def _conditions(query: str) -> tuple[Q, Q, Q]:
    """The entries of a user, of a conversation, and of lists that had it."""
    key = conversation_key(query)
    lists = ListedConversation.objects.filter(conversation=key).values("entry")
    return Q(username=query), Q(conversation=key), Q(pk__in=lists)


def _conversation_link(database: Database | None, key: Any, memory_id: str) -> SafeString:
    if database is None or key is None:
        return isolated_text(memory_id)
    return format_html(
        '<a href="{}">{}</a>', page_url(database, "change", key), isolated_text(memory_id)
    )


def _lines(rows: QuerySet[AuditEntry]) -> Iterator[bytes]:
    chunk = list(rows[:ENTRIES_PER_CHUNK])
    while chunk:
        yield "".join(map(_line, chunk)).encode()
        chunk = list(older_rows(rows, "at", chunk[-1].at, chunk[-1].pk)[:ENTRIES_PER_CHUNK])


def _line(entry: Any) -> str:
    listed = [(each.conversation, each.memory_id) for each in entry.listed.all()]
    if entry.conversation or entry.memory_id:
        listed.append((entry.conversation, entry.memory_id))
    fields = {
        "at": entry.at.isoformat(),
        "user": entry.username,
        "address": entry.address,
        "action": entry.action,
        "database": entry.database,
        "conversations": [{"id": str(key), "memory_id": memory_id} for key, memory_id in listed],
        "detail": entry.detail,
    }
    return escape_json(dumps(fields)) + "\n"
