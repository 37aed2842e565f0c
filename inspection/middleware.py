"""What every page of the admin goes through, and no other request: memories are asked often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from axes.middleware import AxesMiddleware
from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]


def admin_only(get_response: Handler) -> Handler:
    """Content-Security-Policy, and the page for who tried to sign in too often."""
    guarded: Any = CSPMiddleware(AxesMiddleware(get_response))

    def middleware(request: HttpRequest) -> HttpResponseBase:
        handler: Handler = guarded if request.path.startswith("/admin/") else get_response
        return handler(request)

    return middleware
