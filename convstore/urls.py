"""Where the rooms hang together: the doors, and the admin."""

from __future__ import annotations

from importlib import import_module

from django.contrib import admin
from django.urls import path

urlpatterns = [
    *import_module("memory_api.urls").urlpatterns,  # include() would be one more level to search
    *import_module("conversations_api.urls").urlpatterns,
    path("admin/", admin.site.urls),
]
handler400 = "inspection.views.refusals.bad_request"
handler404 = "memory_api.http_errors.not_found"
handler500 = "inspection.views.refusals.server_error"
