"""Django's admin site, its first page being ours."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from inspection.databases import databases
from inspection.overview import glance


class InspectionSite(admin.AdminSite):
    site_title = "Conversation store"
    site_header = "Conversation store"
    index_title = "At a glance"
    site_url = "/v2/docs"

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        may_see = request.user.has_perm("convstore.view_conversation")
        glances = [glance(database) for database in databases()] if may_see else []
        return super().index(request, {**(extra_context or {}), "glances": glances})
