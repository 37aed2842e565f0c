"""The filters of the admin's lists, beside each list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest

from api_keys.caller import SEPARATOR, TENANT
from convstore.archive.conversations import of_tenant, with_pair
from inspection.audit import Action
from inspection.databases import DATABASE_PARAMETER, databases
from inspection.lists import FURTHER_THAN, NEWER_THAN, OLDER_THAN, ORDER_PARAMETER


class ChoiceFilter(admin.SimpleListFilter):
    """A filter with one selected choice; without its parameter, the first one is selected."""

    template = "inspection/filter.html"

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        return (str(cls.parameter_name),)

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, _ = self.lookup_choices[0]
        for value, title in self.lookup_choices:
            own = {str(self.parameter_name): None if value == first else value}
            first_page = {OLDER_THAN: None, NEWER_THAN: None, FURTHER_THAN: None}
            yield {
                "selected": value == (self.value() or first),
                "query_string": changelist.get_query_string({**own, **first_page}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class DatabaseFilter(ChoiceFilter):
    """Selects the database of the list; `ConversationAdmin.get_queryset` applies it."""

    title = "Database"
    parameter_name = DATABASE_PARAMETER

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.alias, each.name) for each in databases()]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1


class OrderFilter(ChoiceFilter):
    """Selects the order of the list; `ConversationAdmin.time_field` applies it."""

    title = "Sort by"
    parameter_name = ORDER_PARAMETER

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("created", "Newest first"), ("active", "Last activity first")]


class ActionFilter(ChoiceFilter):
    """Selects an action in the audit log."""

    title = "Action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "All"), *((action, f"{action[0].upper()}{action[1:]}") for action in Action)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action=self.value()) if self.value() else queryset


class FormFilter(admin.ListFilter):
    """A filter with fields to fill in; `fields` are their URL parameters."""

    fields: tuple[str, ...]

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        return cls.fields

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.parameter_names():
            if value := params.pop(name, [""])[-1]:
                self.used_parameters[name] = value

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameter_names())

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """One item for the template: the values, and the other URL parameters that the form
        keeps."""
        own = (*self.parameter_names(), OLDER_THAN, NEWER_THAN, FURTHER_THAN)
        others = {name: value for name, value in changelist.params.items() if name not in own}
        yield {"given": self.used_parameters, "other_parameters": others}

    def value_of(self, name: str) -> str:
        return str(self.used_parameters.get(name, ""))


class TenantFilter(FormFilter):
    """Selects the conversations of one tenant."""

    title = "Tenant"
    template = "inspection/tenant.html"
    fields = ("tenant",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        tenant = self.value_of("tenant")
        if not tenant:
            return queryset
        if not TENANT.fullmatch(tenant):
            raise BadRequest("A tenant's name has 1 to 63 of the characters a-z, 0-9 and -.")
        return of_tenant(queryset, f"{tenant}{SEPARATOR}")


class MetadataFilter(FormFilter):
    """Selects the conversations with one pair of metadata, for those who may read them."""

    title = "Metadata"
    template = "inspection/metadata.html"
    fields = ("pair", "value")

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        # Others see no form. Without output, Django would leave out the filter itself.
        self.may_read = model_admin.has_read_permission(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name, value = self.value_of("pair"), self.value_of("value")
        if not name:
            return queryset
        if not self.may_read:
            raise PermissionDenied(
                "This list is filtered by metadata, which needs the permission"
                " convstore.view_message. Ask an administrator for it."
            )
        return with_pair(queryset, name, value)


class PeriodFilter(FormFilter):
    """Selects a first and a last day (UTC), by the time that orders the list."""

    title = "Period (UTC)"
    template = "inspection/period.html"
    fields = ("from", "to")

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.time_field = model_admin.time_field(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if first := self._day("from"):
            queryset = queryset.filter(**{f"{self.time_field}__gte": first})
        if last := self._day("to"):
            queryset = queryset.filter(**{f"{self.time_field}__lt": last + timedelta(days=1)})
        return queryset

    def _day(self, name: str) -> datetime | None:
        if not (text := self.value_of(name)):
            return None
        try:
            day = date.fromisoformat(text)
            return datetime.combine(day, time.min, UTC) if day < date.max else None
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
