"""The routes of V2, each with and without a trailing slash."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, re_path

from memory_api import views

MODEL = "/v2/models/<name>"
VERSION = "/v2/models/<name>/versions/<version>"
OPENAPI = "/v2/docs/openapi.json"


def route(template: str, view: Callable[..., Any]) -> URLPattern:
    """A route whose name is its template, by which requests are counted."""
    literals = re.split(r"<(\w+)>", template.strip("/"))
    pattern = "".join(
        f"(?P<{text}>[^/]+)" if n % 2 else re.escape(text) for n, text in enumerate(literals)
    )
    return re_path(f"^{pattern}/?$" if pattern else "^$", view, name=template)


urlpatterns = [
    route(f"{MODEL}/infer", views.Infer.as_view()),  # first, since it is requested most
    route(f"{VERSION}/infer", views.Infer.as_view()),
    route("/", views.Home.as_view()),
    route("/v2", views.Server.as_view()),
    route("/v2/health/live", views.Live.as_view()),
    route("/v2/health/ready", views.Ready.as_view()),
    route(MODEL, views.ModelMetadata.as_view()),
    route(VERSION, views.ModelMetadata.as_view()),
    route(f"{MODEL}/ready", views.ModelReady.as_view()),
    route(f"{VERSION}/ready", views.ModelReady.as_view()),
    route("/v2/repository/index", views.RepositoryIndex.as_view()),
    route("/metrics", views.Metrics.as_view()),
    route("/v2/docs", views.Docs.as_view(url_name=OPENAPI)),
    route(OPENAPI, views.OpenApi.as_view()),
]
