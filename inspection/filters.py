"""The filters of the admin's lists, beside each list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest

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


class PeriodFilter(admin.ListFilter):
    """Selects a first and a last day (UTC), by the time that orders the list."""

    title = "Period (UTC)"
    template = "inspection/period.html"

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        return ("from", "to")

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.time_field = model_admin.time_field(request)
        for name in self.parameter_names():
            if value := params.pop(name, [""])[-1]:
                self.used_parameters[name] = value

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameter_names())

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if first := self._day("from"):
            queryset = queryset.filter(**{f"{self.time_field}__gte": first})
        if last := self._day("to"):
            queryset = queryset.filter(**{f"{self.time_field}__lt": last + timedelta(days=1)})
        return queryset

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """One item for the template: the days, and the other URL parameters that the form keeps."""
        own = (*self.parameter_names(), OLDER_THAN, NEWER_THAN, FURTHER_THAN)
        others = {name: value for name, value in changelist.params.items() if name not in own}
        yield {"period": self.used_parameters, "other_parameters": others}

    def _day(self, name: str) -> datetime | None:
        if not (text := str(self.used_parameters.get(name, ""))):
            return None
        try:
            day = date.fromisoformat(text)
            return datetime.combine(day, time.min, UTC) if day < date.max else None
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
