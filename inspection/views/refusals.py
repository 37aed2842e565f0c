"""Pages for what Django refuses in the admin, and for faults: what is wrong, and what to do."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS, Error
from django.http import Http404, HttpRequest, HttpResponse

from convstore.database import faults
from inspection.views.access import error_page, page_of_nobody
from memory_api import http_errors

# The path of the admin in convstore/urls.py.
ADMIN_PATH = "/admin/"
NOT_FOUND = "There is no such page. The link may be old, or what it showed was deleted."
NO_PERMISSION = "Your user may not do that. Ask an administrator for the permission."
FORM_REFUSED = (
    "The form was not accepted, because it was not sent from a page of this admin that is still"
    " valid. Go back, load the page again and repeat it. If it happens each time, this browser does"
    " not keep cookies, or the proxy does not tell convstore by which address and protocol people"
    " reach it."
)
MALFORMED = (
    "The browser sent a request that convstore cannot accept. Check the address, or ask an"
    " administrator whether ALLOWED_HOSTS names this server."
)
FAULT = (
    "This page could not be made: {}. Your change may or may not have been made; check before you"
    " repeat it."
)


def is_for_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith(ADMIN_PATH)


def page_of(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The page for an error that a view raised; None for a fault of convstore."""
    if isinstance(error, Http404):
        return error_page(request, 404, NOT_FOUND)
    if isinstance(error, PermissionDenied):
        return error_page(request, 403, str(error) or NO_PERMISSION)
    if isinstance(error, Error):  # of a page of Django's, or of the users' own database
        return error_page(request, 503, faults.describe_error(DEFAULT_DB_ALIAS, error))
    return None


def form_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django calls this for a form without a valid CSRF token, or from another origin."""
    return error_page(request, 403, FORM_REFUSED)


# --- Failures that no view or middleware answers; Django calls these, at each door --------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_for_admin(request):
        return http_errors.bad_request(request, exception)
    return page_of_nobody(400, MALFORMED)


def server_error(request: HttpRequest) -> HttpResponse:
    if not is_for_admin(request):
        return http_errors.server_error(request)
    return page_of_nobody(500, FAULT.format(http_errors.log_fault(request)))
