"""Django's admin site with our first page, which shows the databases."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse_lazy

from inspection.databases import databases
from inspection.overview import panel_of


class InspectionSite(admin.AdminSite):
    site_title = "convstore"
    site_header = "convstore"
    index_title = "Overview"
    site_url: Any = reverse_lazy("/v2/docs")  # the name of the route

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        may_see = request.user.has_perm("convstore.view_conversation")
        panels = [panel_of(database) for database in databases()] if may_see else []
        return super().index(request, {**(extra_context or {}), "panels": panels})
