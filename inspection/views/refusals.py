"""Pages for what Django refuses in the admin: they say what is wrong, and what to do."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse

from inspection.views.access import error_page

NOT_FOUND = "There is no such page. The link may be old, or what it showed was deleted."
NO_PERMISSION = "Your user may not do that. Ask an administrator for the permission."
FORM_REFUSED = (
    "The form was not accepted, because it was not sent from a page of this admin that is still"
    " valid. Go back, load the page again and repeat it. If it happens each time, this browser does"
    " not keep cookies, or the proxy does not tell convstore by which address and protocol people"
    " reach it."
)


def page_of(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The page for an error that a view raised; None for a fault of convstore."""
    if isinstance(error, Http404):
        return error_page(request, 404, NOT_FOUND)
    if isinstance(error, PermissionDenied):
        return error_page(request, 403, NO_PERMISSION)
    return None


def form_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django calls this for a form without a valid CSRF token, or from another origin."""
    return error_page(request, 403, FORM_REFUSED)
