"""Who signs in to the admin, and from where: a limit for each address, and the audit log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from inspection import audit
from inspection.audit import Action, record_event
from inspection.models import AuditEntry

logger = logging.getLogger(__name__)


def address_of(request: HttpRequest) -> str | None:
    """For django-axes, whose column is NULL where no address is known."""
    return audit.address_of(request) or None


class AddressLimit(BaseBackend):
    """Refuses attempts from an address that had too many failures. It identifies nobody.

    It stands between the limit of django-axes, for one name from one address, and the backend that
    looks at the password.
    """

    def authenticate(
        self,
        request: Any,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> None:
        if request is None:
            return
        address = audit.address_of(request)
        # The index of actions finds all failures of these minutes. To look at a password takes so
        # long that they are some thousands at most.
        failures = AuditEntry.objects.filter(
            action=Action.SIGN_IN_FAILED,
            at__gte=datetime.now(UTC) - settings.AXES_COOLOFF_TIME,
            address=address,
        )
        if failures.count() >= settings.SIGN_IN_FAILURES_OF_ADDRESS:
            logger.warning(
                "Sign-ins from %s are refused for some time: %d have failed. If it is a proxy, name"
                " it in TRUSTED_PROXIES.",
                address,
                settings.SIGN_IN_FAILURES_OF_ADDRESS,
            )
            request.axes_locked_out = True
            raise PermissionDenied
        request.is_password_tried = True


def record_success(sender: Any, request: HttpRequest, user: Any, **more: Any) -> None:
    record_event(request, Action.SIGNED_IN, user=user, username=user.get_username())


def record_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
) -> None:
    """Only an attempt that tried a password: a flood of refused ones would fill the log."""
    if not getattr(request, "is_password_tried", False) or request is None:
        return
    # Only the name of a user: people type their password into the wrong field.
    name = str(credentials.get("username") or "").replace("\0", "")
    user = get_user_model().objects.filter(username=name).first() if name else None
    detail = "" if user else "unknown name"
    username = user.get_username() if user else ""
    record_event(request, Action.SIGN_IN_FAILED, detail, user=user, username=username)


def connect() -> None:
    """Called once, as the service starts."""
    user_logged_in.connect(record_success, dispatch_uid="convstore.signed_in")
    user_login_failed.connect(record_failure, dispatch_uid="convstore.sign_in_failed")
