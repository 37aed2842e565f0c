"""Who may open a page of the admin, and what it says when it cannot be shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from convstore.archive.erasure import counted
from convstore.database import faults
from convstore.models import Conversation
from inspection.databases import Database, chosen

READ, DELETE = "convstore.view_message", "convstore.delete_conversation"
# What is served as it was said can do nothing, even where a browser opens it by itself.
SANDBOX = "default-src 'none'; sandbox"


class Refused(Exception):
    """What was asked for is not right. The text is one sentence."""


def may_read(request: HttpRequest) -> bool:
    return request.user.has_perm(READ)


def may_delete(request: HttpRequest) -> bool:
    return request.user.has_perm(DELETE)


def guarded(permission: str) -> Callable[[Any], Any]:
    """A view, or a method that is one: for who has the permission; failures as a page."""

    def guard(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded_view(*args: Any, **kwargs: Any) -> HttpResponseBase:
            request: HttpRequest = next(arg for arg in args if isinstance(arg, HttpRequest))
            if not request.user.has_perm(permission):
                text = f"This needs the permission {permission}, which your user does not have."
                return problem(request, 403, text)
            try:
                return view(*args, **kwargs)
            except Refused as error:
                return problem(request, 400, str(error))
            except (ValidationError, SuspiciousOperation) as error:  # Django's list was sent it
                return problem(request, 400, " ".join(getattr(error, "messages", [str(error)])))
            except Http404 as error:
                return problem(request, 404, str(error))
            except Error as error:
                return problem(request, 503, faults.describe_error(chosen(request).alias, error))

        return guarded_view

    return guard


def inspects(permission: str) -> Callable[[Any], Any]:
    """A view of the admin, called with the request and its database."""

    def inspect(view: Callable[..., HttpResponseBase]) -> Any:
        @wraps(view)
        def inspecting(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            return view(request, chosen(request), **kwargs)

        return admin.site.admin_view(guarded(permission)(inspecting))

    return inspect


def problem(request: HttpRequest, status: int, text: str) -> HttpResponse:
    context = {"title": "Not shown", "text": text}
    return page(request, "problem", context, status)


def page(
    request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    shared = {**admin.site.each_context(request), "opts": Conversation._meta}
    return render(request, f"inspection/{name}.html", {**shared, **context}, status=status)


def valid(form: forms.Form) -> dict[str, Any]:
    """What the form holds. Raises Refused with the first thing that is wrong."""
    for field, errors in form.errors.items():
        raise Refused(f"{field}: {' '.join(map(str, errors))}")
    return form.cleaned_data


def conversation_of(database: Database, key: UUID) -> Any:
    """The conversation, with its `length` and `count`. Raises Http404."""
    found = counted(Conversation.objects.using(database.alias)).filter(pk=key).first()
    if found is None:
        raise Http404("There is no such conversation in this database; it may have been deleted.")
    return found


def address(database: Database, name: str, *args: object, **parameters: object) -> str:
    path = reverse(f"admin:convstore_conversation_{name}", args=args)
    return database.address(path, **parameters)
