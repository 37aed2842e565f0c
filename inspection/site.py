"""Django's admin site with our first page, which shows the databases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import DEFAULT_DB_ALIAS, Error
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from convstore.archive.overview import DAYS
from convstore.database import faults
from inspection.audit import Action, record_list
from inspection.databases import databases
from inspection.day_counts import counts_of
from inspection.health import PERCENT, health_by_memory, last_backup
from inspection.overview import Panel, panel_of
from inspection.views.access import error_page
from inspection.views.pages import service_url


class InspectionSite(admin.AdminSite):
    site_title = "convstore"
    site_header = "convstore"
    index_title = "Overview"
    site_url: Any = reverse_lazy("/v2/docs")  # the name of the route

    def get_urls(self) -> list[Any]:
        """The URLs of all pages, which are imported now and not before: commands need none."""
        admin.autodiscover()
        # After Django's own pages of users and groups, which it replaces.
        from inspection import accounts  # noqa: F401

        return super().get_urls()

    @method_decorator(never_cache)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().login(request, extra_context)
        except Error as error:  # also one of the audit log: nobody signs in without an entry
            return error_page(request, 503, faults.describe_error(DEFAULT_DB_ALIAS, error))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        may_see = request.user.has_perm("convstore.view_conversation")
        context: dict[str, Any] = {"panels": []}
        if may_see:
            health = health_by_memory()
            panels = [panel_of(database, health, counts_of(database)) for database in databases()]
            _record_view(request, panels)
            context = {
                "panels": panels,
                "backup": last_backup(),
                "percent": PERCENT,
                "days": DAYS,
                "base_url": service_url(request),
            }
        return super().index(request, {**(extra_context or {}), **context})


def _record_view(request: HttpRequest, panels: Iterable[Panel]) -> None:
    """Write one entry for each database that the first page shows conversations of."""
    for panel in panels:
        if panel.figures:
            named = [(row.pk, row.memory_id) for row in panel.figures.last_active]
            record_list(request, panel.database, Action.LIST, named, "ids; on the first page")
