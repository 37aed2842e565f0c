"""Middleware for the admin alone: requests to memories come often and need none of it.

There is one subclass for each middleware, instead of one wrapper around all of them, because
Django's checks look for its classes in MIDDLEWARE, and because Django calls `process_view`,
by which CSRF protection works, only on what is listed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.middleware import AxesMiddleware
from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin

# Where convstore/urls.py puts the admin.
ADMIN_PATH = "/admin/"

if TYPE_CHECKING:
    Middleware = MiddlewareMixin
else:
    Middleware = object


class AdminOnly(Middleware):
    """In front of a middleware class: keeps requests to other paths away from it."""

    def __call__(self, request: HttpRequest) -> Any:
        if is_for_admin(request):
            return super().__call__(request)
        return self.get_response(request)


def is_for_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith(ADMIN_PATH)


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


class AdminContentPolicyMiddleware(AdminOnly, CSPMiddleware):
    """Sends the Content-Security-Policy."""


class AdminSignInLimitMiddleware(AdminOnly, AxesMiddleware):  # type: ignore[misc]
    """Shows a page to those who failed to sign in too often."""
