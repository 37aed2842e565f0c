"""Where the rooms hang together: the admin, and all else to the HTTP door."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("memory_api.urls")),
    path("admin/", admin.site.urls),
]
handler400 = "memory_api.http_errors.bad_request"
handler404 = "memory_api.http_errors.not_found"
handler500 = "memory_api.http_errors.server_error"
