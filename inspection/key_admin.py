"""API keys in the admin: listed, made and revoked. A new key is shown once, and never stored."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString

from api_keys.caller import APPEND, READ, SCOPES
from api_keys.errors import KeyRefused
from api_keys.making import (
    MAX_NAME_CHARACTERS,
    KeyRow,
    KeyWish,
    description_of,
    make_key,
    revoke_key,
    rights_of,
    state_of,
)
from api_keys.rows import USING
from convstore.archive.conversations import older_rows
from convstore.escaping import escape_controls
from inspection.audit import Action, record
from inspection.cursors import cursor_of, time_and_key
from inspection.databases import databases
from inspection.filters import PeriodFilter
from inspection.lists import KeysetAdmin
from inspection.times import time_element
from inspection.views.access import requires
from inspection.views.pages import render_page

VIEW, ADD, CHANGE = "api_keys.view_apikey", "api_keys.add_apikey", "api_keys.change_apikey"
LIST_URL = "admin:api_keys_apikey_changelist"


class KeyForm(forms.Form):
    name = forms.CharField(max_length=MAX_NAME_CHARACTERS, help_text="Whose key it is, for people.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        widget=forms.CheckboxSelectMultiple,
        initial=[READ, APPEND],
    )
    memories = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all. This is no wall: memories of one database share conversations.",
    )
    tenant = forms.CharField(
        required=False,
        max_length=63,
        help_text="Whose conversations the key sees, and no others. Without it, the key sees all.",
    )
    adopt = forms.BooleanField(
        required=False,
        label="The tenant may take over conversations that exist under its name",
    )
    rate = forms.IntegerField(
        required=False, min_value=1, label="Requests a second", help_text="In each process."
    )
    expires = forms.DateField(
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text="The key is valid until this day begins, in UTC.",
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.label_suffix = ""
        names = [name for database in databases() for name in database.memories]
        field: Any = self.fields["memories"]
        field.choices = [(name, name) for name in names]

    def wish(self) -> KeyWish:
        data = dict(self.cleaned_data)
        day = data.pop("expires")
        return KeyWish(**data, expires_at=day and datetime.combine(day, time.min, UTC))


@admin.register(KeyRow)
class KeyAdmin(KeysetAdmin):
    list_filter = (PeriodFilter,)
    search_fields = ("name",)
    search_help_text = "Name, key as it is shown here, or tenant, exactly"
    actions = None
    change_list_template = "inspection/keys.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="api_keys_apikey_changelist"),
            path("make/", view(self.make), name="api_keys_apikey_make"),
            path("<int:pk>/revoke/", view(self.revoke), name="api_keys_apikey_revoke"),
        ]

    # --- The list ------------------------------------------------------------------------

    @method_decorator(requires(VIEW))
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": "API keys", "may_make": request.user.has_perm(ADD)}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def time_field(self, request: HttpRequest) -> str:
        return "created_at"

    def find_rows(
        self, rows: QuerySet[Any], query: str, limit: int, cursor: str | None
    ) -> tuple[list[Any], str | None]:
        if cursor:
            rows = older_rows(rows, "created_at", *time_and_key(cursor, KeyRow))
        named = Q(name=query) | Q(prefix=query) | Q(tenant=query)
        found = list(rows.filter(named)[: limit + 1])
        further = cursor_of(found[limit - 1], "created_at") if len(found) > limit else None
        return found[:limit], further

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = ["key", "state", "rights", "expires", "last_used", "created"]
        return [*shown, "revoke_link"] if request.user.has_perm(CHANGE) else shown

    @admin.display(description="key")
    def key(self, row: KeyRow) -> SafeString:
        name = escape_controls(row.name)
        return format_html("<bdi>{}</bdi> <code>{}</code>", name, row.prefix)

    @admin.display(description="state")
    def state(self, row: KeyRow) -> str:
        return state_of(row, datetime.now(UTC))

    @admin.display(description="may")
    def rights(self, row: KeyRow) -> str:
        return rights_of(row)

    @admin.display(description="expires")
    def expires(self, row: KeyRow) -> str:
        return time_element(row.expires_at, "minute") if row.expires_at else "never"

    @admin.display(description="last used, to the hour")
    def last_used(self, row: KeyRow) -> str:
        return time_element(row.last_used_at, "minute") if row.last_used_at else "never"

    @admin.display(description="created")
    def created(self, row: KeyRow) -> str:
        return time_element(row.created_at, "minute")

    @admin.display(description="")
    def revoke_link(self, row: KeyRow) -> str:
        if row.revoked_at:
            return ""
        url = reverse("admin:api_keys_apikey_revoke", args=[row.pk])
        return format_html('<a href="{}">Revoke</a>', url)

    # --- Making and revoking -------------------------------------------------------------

    @method_decorator(requires(ADD))
    def make(self, request: HttpRequest) -> HttpResponse:
        """GET shows a form. POST makes the key, and shows it in its own reply, the only time."""
        form = KeyForm(request.POST) if request.method == "POST" else KeyForm()
        if request.method == "POST" and form.is_valid():
            try:
                with transaction.atomic(USING):  # no key without its entry in the audit log
                    row, text = make_key(form.wish(), [each.alias for each in databases()])
                    log(request, Action.KEY_MADE, row)
            except KeyRefused as error:
                form.add_error(None, f"This key cannot be made: {error}.")
            else:
                context = {"title": "A new API key", "text": text, "row": row}
                return render_page(request, "key_made", {**context, "rights": rights_of(row)})
        context = {"title": "Make an API key", "form": form}
        return render_page(request, "key_form", context, 400 if form.errors else 200)

    @method_decorator(requires(CHANGE))
    def revoke(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = KeyRow.objects.using(USING).filter(pk=pk).first()
        if row is None:
            raise Http404("There is no such API key.")
        if request.method != "POST":
            context = {"title": "Revoke an API key", "row": row, "rights": rights_of(row)}
            return render_page(request, "key_revoke", context)
        with transaction.atomic(USING):
            log(request, Action.KEY_REVOKED, row)
            revoke_key(row)
        return HttpResponseRedirect(reverse(LIST_URL))


def log(request: HttpRequest, action: Action, row: KeyRow) -> None:
    record(request, databases()[0], action, [(None, "")], description_of(row))
