"""The routes of V2, each with and without a trailing slash."""

from __future__ import annotations

from django.urls import re_path

from memory_api import views

MODEL = r"^v2/models/(?P<name>[^/]+)"
VERSION = MODEL + r"/versions/(?P<version>[^/]+)"

urlpatterns = [
    re_path(MODEL + r"/infer/?$", views.Infer.as_view()),  # the busiest first
    re_path(VERSION + r"/infer/?$", views.Infer.as_view()),
    re_path(r"^$", views.Home.as_view()),
    re_path(r"^v2/?$", views.Server.as_view()),
    re_path(r"^v2/health/live/?$", views.Live.as_view()),
    re_path(r"^v2/health/ready/?$", views.Ready.as_view()),
    re_path(MODEL + r"/?$", views.ModelMetadata.as_view()),
    re_path(VERSION + r"/?$", views.ModelMetadata.as_view()),
    re_path(MODEL + r"/ready/?$", views.ModelReady.as_view()),
    re_path(VERSION + r"/ready/?$", views.ModelReady.as_view()),
    re_path(r"^v2/repository/index/?$", views.RepositoryIndex.as_view()),
    re_path(r"^metrics/?$", views.Metrics.as_view()),
    re_path(r"^v2/docs/?$", views.Docs.as_view(url_name="openapi"), name="docs"),
    re_path(r"^v2/docs/openapi\.json$", views.OpenApi.as_view(), name="openapi"),
]
