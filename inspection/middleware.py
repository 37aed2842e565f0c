"""Middleware that runs for the admin only: requests to memories are frequent and do not need it.

Each middleware has a subclass of its own, instead of one wrapper around all of them, for two
reasons: Django's checks look for its own classes in MIDDLEWARE, and Django calls `process_view`,
which CSRF protection needs, only on the classes that are listed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.middleware import AxesMiddleware
from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin

from inspection.views.refusals import is_for_admin, page_of

if TYPE_CHECKING:
    Middleware = MiddlewareMixin
else:
    Middleware = object


class AdminOnly(Middleware):
    """A mixin for a middleware class: only requests to the admin go through the middleware."""

    def __call__(self, request: HttpRequest) -> Any:
        if is_for_admin(request):
            return super().__call__(request)
        return self.get_response(request)


class AdminSessionMiddleware(AdminOnly, SessionMiddleware):
    pass


class AdminCsrfMiddleware(AdminOnly, CsrfViewMiddleware):
    def process_view(self, request: HttpRequest, *view: Any) -> Any:
        return super().process_view(request, *view) if is_for_admin(request) else None


class AdminAuthenticationMiddleware(AdminOnly, AuthenticationMiddleware):
    pass


class AdminMessageMiddleware(AdminOnly, MessageMiddleware):
    pass


class AdminFrameOptionsMiddleware(AdminOnly, XFrameOptionsMiddleware):
    pass


class AdminErrorMiddleware(AdminOnly, MiddlewareMixin):
    """Shows a page for what a view of Django's own admin refuses, where the API answers JSON."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return page_of(request, error) if is_for_admin(request) else None


class AdminContentPolicyMiddleware(AdminOnly, CSPMiddleware):
    """Sends the Content-Security-Policy."""


class AdminSignInLimitMiddleware(AdminOnly, AxesMiddleware):  # type: ignore[misc]
    """Shows an error page after too many failed attempts to sign in."""
