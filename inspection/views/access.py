"""Check permissions, and show an error page if a page cannot be shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import BadRequest, SuspiciousOperation, ValidationError
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from convstore.database import faults
from inspection.databases import requested_database
from inspection.views.pages import render_page

LIST = "convstore.view_conversation"
READ, DELETE = "convstore.view_message", "convstore.delete_conversation"
LOG = "inspection.view_auditentry"
TITLES = {
    400: "Bad request",
    403: "No permission",
    404: "Not found",
    500: "Server error",
    503: "Database unavailable",
}

View = Callable[..., HttpResponseBase]


def may_list(request: HttpRequest) -> bool:
    return request.user.has_perm(LIST)


def may_read(request: HttpRequest) -> bool:
    return request.user.has_perm(READ)


def may_delete(request: HttpRequest) -> bool:
    return request.user.has_perm(DELETE)


def requires(permission: str) -> Callable[[View], View]:
    """Make a view check the permission, and show failures as an error page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                return refusal(request, permission)
            try:
                return view(request, *args, **kwargs)
            except BadRequest as error:
                return error_page(request, 400, str(error))
            except (ValidationError, SuspiciousOperation) as error:  # raised by Django's list
                return error_page(request, 400, " ".join(getattr(error, "messages", [str(error)])))
            except Http404 as error:
                return error_page(request, 404, str(error))
            except Error as error:
                alias = requested_database(request).alias
                return error_page(request, 503, faults.describe_error(alias, error))

        return checked_view

    return decorate


def database_view(permission: str) -> Callable[[View], Any]:
    """Make a function a view of the admin; it gets the request and the requested database."""

    def decorate(view: View) -> Any:
        @wraps(view)
        def view_of_database(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            return view(request, requested_database(request), **kwargs)

        return admin.site.admin_view(requires(permission)(view_of_database))

    return decorate


def refusal(request: HttpRequest, permission: str) -> HttpResponse:
    """The error page for a user who lacks the permission."""
    text = (
        f"This page needs the permission {permission}, which your user does not have."
        " Ask an administrator for it."
    )
    return error_page(request, 403, text)


def error_page(request: HttpRequest, status: int, text: str) -> HttpResponse:
    try:
        return render_page(request, "error", {"title": TITLES[status], "text": text}, status)
    except Error:  # the page names the user, whose database may be the one that fails
        return page_of_nobody(status, text)


def page_of_nobody(status: int, text: str) -> HttpResponse:
    """The error page without its user, so that it depends on nothing that can fail."""
    context = {"title": TITLES[status], "text": text}
    return HttpResponse(render_to_string("inspection/error.html", context), status=status)
