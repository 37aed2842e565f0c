"""Lists of the admin that cost the same on their last page as on the first.

No rows are counted and none are passed over: a page is found by the time and the key of the
row that it follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from convstore.archive.history import newer_rows, older_rows
from inspection.audit import Action
from inspection.databases import PARAMETER, databases

# Parameters of an address: the row that the page follows, or precedes.
FOLLOWS, PRECEDES = "before", "after"
# Those of the filters below.
FILTERS = (PARAMETER, "by", "action", "from", "to")


class KeysetList(ChangeList):
    """A list ordered by a time, newest first, and the key; `model_admin.time_of` names the time."""

    model_admin: KeysetAdmin
    newer: str | None = None
    older: str | None = None
    more_found = False
    # What a search keeps of the list that it begins at: which database, not which period.
    kept_in_search = (PARAMETER,)

    def get_filters_params(self, params: Any = None) -> Any:
        """Those of our filters: any other could be a lookup that no index serves."""
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name in FILTERS}

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """What an index serves, and nothing else."""
        time_of = self.model_admin.time_of(request)
        return [f"-{time_of}", "-pk"]

    @property
    def without_search(self) -> str:
        return self.get_query_string({SEARCH_VAR: None})

    def get_results(self, request: HttpRequest) -> None:
        time_of = self.model_admin.time_of(request)
        rows = self._found(request) if self.query else self._page(request, time_of)
        self.result_list = self.model_admin.shown(request, rows)
        self.result_count = len(rows)
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _found(self, request: HttpRequest) -> list[Any]:
        """What a search finds, on one page: whoever wants others types more."""
        query = request.GET[SEARCH_VAR]  # as it was typed, blanks at its ends included
        found = self.model_admin.found(self.queryset, query, self.list_per_page + 1)
        self.more_found = len(found) > self.list_per_page
        return list(found[: self.list_per_page])

    def _page(self, request: HttpRequest, time_of: str) -> list[Any]:
        """The rows of the page; sets the addresses of its neighbours."""
        size = self.list_per_page
        if place := request.GET.get(PRECEDES):
            rows = newer_rows(self.queryset, time_of, *self._place(place))
            found = list(rows.order_by(time_of, "pk")[: size + 1])
            page, is_first, is_last = found[:size][::-1], len(found) <= size, False
        else:
            rows, place = self.queryset, request.GET.get(FOLLOWS)
            if place:
                rows = older_rows(rows, time_of, *self._place(place))
            found = list(rows[: size + 1])
            page, is_first, is_last = found[:size], not place, len(found) <= size
        if page and not is_first:
            self.newer = self._address(PRECEDES, FOLLOWS, page[0], time_of)
        if page and not is_last:
            self.older = self._address(FOLLOWS, PRECEDES, page[-1], time_of)
        return page

    def _address(self, name: str, other: str, row: Any, time_of: str) -> str:
        place = f"{getattr(row, time_of).isoformat()}~{row.pk}"
        return self.get_query_string({name: place, other: None})

    def _place(self, text: str) -> tuple[datetime, Any]:
        """The time and the key that `_address` wrote."""
        at, _, key = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            return moment.astimezone(UTC), self.model._meta.pk.to_python(key)
        except (ValueError, OverflowError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error


class Choice(admin.SimpleListFilter):
    """A filter one of whose choices always holds, the first unless another is taken."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        chosen = self.value() or self.lookup_choices[0][0]
        for value, title in self.lookup_choices:
            first = value == self.lookup_choices[0][0]
            query = {self.parameter_name: None if first else value, FOLLOWS: None, PRECEDES: None}
            yield {
                "selected": value == chosen,
                "query_string": changelist.get_query_string(query),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class DatabaseFilter(Choice):
    """Which database is shown; `get_queryset` of the admin has chosen it."""

    title = "database"
    parameter_name = PARAMETER

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.alias, each.name) for each in databases()]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1


class OrderFilter(Choice):
    title = "order"
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("created", "Newest first"), ("active", "Last active first")]


class ActionFilter(admin.SimpleListFilter):
    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(action, action.capitalize()) for action in Action]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action=self.value()) if self.value() else queryset


class PeriodFilter(admin.ListFilter):
    """From a day to a day, both in it, by the time that the list is ordered by; in UTC."""

    title = "period"
    template = "inspection/period.html"
    parameters = ("from", "to")

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.time_of = model_admin.time_of(request)
        for name in self.parameters:
            if value := params.pop(name, [""])[-1]:
                self.used_parameters[name] = value

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if first := self._day("from"):
            queryset = queryset.filter(**{f"{self.time_of}__gte": first})
        if last := self._day("to"):
            queryset = queryset.filter(**{f"{self.time_of}__lt": last + timedelta(days=1)})
        return queryset

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """What the form shows, and the other parameters that it keeps."""
        dropped = (*self.parameters, FOLLOWS, PRECEDES)
        kept = {name: value for name, value in changelist.params.items() if name not in dropped}
        yield {"period": self.used_parameters, "kept": kept}

    def _day(self, name: str) -> datetime | None:
        if not (text := str(self.used_parameters.get(name, ""))):
            return None
        try:
            day = date.fromisoformat(text)
            return datetime.combine(day, time.min, UTC) if day < date.max else None
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error


if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic for the type checker only


class KeysetAdmin(ModelAdmin):
    """A read-only list of rows that nobody makes or changes by hand."""

    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    list_display_links = None
    change_list_template = "inspection/list.html"

    def time_of(self, request: HttpRequest) -> str:
        raise NotImplementedError

    def shown(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        """The rows as the page shows them."""
        return rows

    def found(self, rows: QuerySet[Any], query: str, limit: int) -> list[Any]:
        """At most `limit` of `rows` that a search for `query` finds."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset, False  # `found` searches

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetList

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
