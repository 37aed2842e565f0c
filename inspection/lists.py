"""Admin lists with keyset pagination: no COUNT and no OFFSET.

A page is found by the time and the key of the row before or after it, so every page costs the same.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString

from convstore.archive.conversations import newer_rows, older_rows
from convstore.escaping import escape_controls
from inspection.cursors import cursor_of, time_and_key
from inspection.databases import DATABASE_PARAMETER
from memory_api.limits import MAX_MEMORY_ID_LENGTH

ROWS_PER_PAGE = 50
# The URL parameters that hold the cursor, which is a row's time and key: the page shows the rows
# older than that row, or the rows newer than it.
OLDER_THAN, NEWER_THAN = "before", "after"
# The same for a search: the page shows the matches that follow.
FURTHER_THAN = "further"
# The one with the order of the rows.
ORDER_PARAMETER = "by"


class KeysetList(ChangeList):
    """A list ordered by `model_admin.time_field`, newest first, then by key."""

    model_admin: KeysetAdmin
    newer_url: str | None = None
    older_url: str | None = None
    first_url: str | None = None
    further_url: str | None = None
    max_query_characters = MAX_MEMORY_ID_LENGTH
    # A search stays in its database, but ignores the period.
    kept_in_search = (DATABASE_PARAMETER,)

    def get_filters_params(self, params: Any = None) -> Any:
        """Only the parameters of this list's filters: Django would make any other one a lookup."""
        filters: Any = self.list_filter
        names = {name for each in filters for name in each.parameter_names()}
        given = super().get_filters_params(params)
        return {name: value for name, value in given.items() if name in names}

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """An order for which there is an index."""
        return [f"-{self.model_admin.time_field(request)}", "-pk"]

    @property
    def url_of_all(self) -> str | None:
        """The URL of the whole list; None if this is it."""
        narrowing = self.params.keys() - {DATABASE_PARAMETER, ORDER_PARAMETER}
        return self.get_query_string(remove=narrowing) if narrowing else None

    @property
    def url_without_search(self) -> str:
        return self.get_query_string({SEARCH_VAR: None, FURTHER_THAN: None})

    def get_results(self, request: HttpRequest) -> None:
        rows = self._matches(request) if self.query else self._page(request)
        self.result_list = self.model_admin.prepare_rows(request, rows)
        self.result_count = len(rows)
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _matches(self, request: HttpRequest) -> list[Any]:
        """The rows that match the search. Also sets the URLs of its first and its next page."""
        query = request.GET[SEARCH_VAR]  # Django strips `self.query`, but an id may end in a space
        cursor = request.GET.get(FURTHER_THAN)
        try:
            found = self.model_admin.find_rows(self.queryset, query, self.list_per_page, cursor)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error
        matches, further = found
        if cursor:
            self.first_url = self.get_query_string({FURTHER_THAN: None})
        if further:
            self.further_url = self.get_query_string({FURTHER_THAN: further})
        return matches

    def _page(self, request: HttpRequest) -> list[Any]:
        """The rows of the page. Also sets the URLs of the previous and the next page."""
        size, time_field = self.list_per_page, self.model_admin.time_field(request)
        if cursor := request.GET.get(NEWER_THAN):
            rows = newer_rows(self.queryset, time_field, *self._time_and_key(cursor))
            following = list(rows.order_by(time_field, "pk")[: size + 1])
            page, is_first, is_last = following[:size][::-1], len(following) <= size, False
        else:
            rows, cursor = self.queryset, request.GET.get(OLDER_THAN)
            if cursor:
                rows = older_rows(rows, time_field, *self._time_and_key(cursor))
            following = list(rows[: size + 1])
            page, is_first, is_last = following[:size], not cursor, len(following) <= size
        if page and not is_first:
            newer = {NEWER_THAN: cursor_of(page[0], time_field), OLDER_THAN: None}
            self.newer_url = self.get_query_string(newer)
        if page and not is_last:
            older = {OLDER_THAN: cursor_of(page[-1], time_field), NEWER_THAN: None}
            self.older_url = self.get_query_string(older)
        return page

    def _time_and_key(self, cursor: str) -> tuple[datetime, Any]:
        """The time and the key in a cursor. Raises IncorrectLookupParameters."""
        try:
            return time_and_key(cursor, self.model)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error


class Neighbours(KeysetList):
    """Finds the rows before and after a row of the list, and no page of it."""

    def get_results(self, request: HttpRequest) -> None:
        self.request = request

    def keys(self, row: Any) -> tuple[Any, Any]:
        """The keys of the previous and the next row; None where there is none."""
        if self.query:
            keys = [match.pk for match in self._matches(self.request)]
            at = keys.index(row.pk) if row.pk in keys else len(keys)
            around = (keys[at - 1 : at] if at else []), keys[at + 1 : at + 2]
        else:
            field = self.model_admin.time_field(self.request)
            place = field, getattr(row, field), row.pk
            newer = newer_rows(self.queryset, *place).order_by(field, "pk")
            older = older_rows(self.queryset, *place)
            newer_keys, older_keys = newer.values_list("pk"), older.values_list("pk")
            around = [key for (key,) in newer_keys[:1]], [key for (key,) in older_keys[:1]]
        previous, following = (next(iter(keys), None) for keys in around)
        return previous, following

    def batch(self, cursor: str, size: int, begun: datetime) -> list[tuple[Any, str]]:
        """The rows after `cursor` that were there when a job began, each with its own cursor."""
        rows = self.queryset.filter(created_at__lte=begun)
        field = self.model_admin.time_field(self.request)
        if not self.query:
            if cursor:
                rows = older_rows(rows, field, *time_and_key(cursor, self.model))
            return [(row, cursor_of(row, field)) for row in rows[:size]]
        query, further = self.request.GET[SEARCH_VAR], cursor or None
        while True:
            found, further = self.model_admin.find_rows(rows, query, size, further)
            if found or not further:
                return [(row, f"{row.pk}~{row.memory_id}") for row in found]


def list_with_query(request: HttpRequest, query: str, model: Any) -> Neighbours:
    """The list of a model as that URL query filters it. Raises IncorrectLookupParameters."""
    model_admin: Any = admin.site.get_model_admin(model)
    list_request = copy(request)
    list_request.GET = QueryDict(query)
    neighbours: Neighbours = model_admin.neighbours(list_request)
    return neighbours


def neighbours_in_list(request: HttpRequest, query: str, row: Any) -> tuple[Any, Any]:
    """The keys before and after `row` in its model's list; `query` is that list's URL query."""
    try:
        return list_with_query(request, query, type(row)).keys(row)
    except IncorrectLookupParameters:
        return None, None


def isolated_text(text: str) -> SafeString:
    """The text as HTML. Right-to-left letters in it do not reorder the text around it."""
    return format_html("<bdi>{}</bdi>", escape_controls(text))


if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic for the type checker only


class KeysetAdmin(ModelAdmin):
    """A read-only list with keyset pagination.

    Each filter in `list_filter` has a method `parameter_names`.
    """

    list_per_page = ROWS_PER_PAGE
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    list_display_links = None
    change_list_template = "inspection/list.html"

    def time_field(self, request: HttpRequest) -> str:
        """The field that orders the list. There must be an index on this field and the key."""
        raise NotImplementedError

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        """The rows as the page shows them."""
        return rows

    def find_rows(
        self, rows: QuerySet[Any], query: str, limit: int, cursor: str | None
    ) -> tuple[list[Any], str | None]:
        """At most `limit` of `rows` that match `query`, and the cursor of a next page, if any.

        Raises ValueError for a cursor that no page gave.
        """
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset, False  # `find_rows` searches instead

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetList

    def neighbours(self, request: HttpRequest) -> Neighbours:
        return Neighbours(
            request,
            self.model,
            list_display=("pk",),
            list_display_links=(),
            list_filter=self.get_list_filter(request),
            date_hierarchy=None,
            search_fields=self.search_fields,
            list_select_related=False,
            list_per_page=self.list_per_page,
            list_max_show_all=self.list_max_show_all,
            list_editable=(),
            model_admin=self,
            sortable_by=(),
            search_help_text=None,
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
