"""The pages of users and groups: nobody gives rights that they do not have, and all is logged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth import admin as django_pages
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from inspection.audit import Action, record_event
from inspection.times import time_element

TIMES = ("signed_in", "made")
FLAGS = ("is_active", "is_staff", "is_superuser")
# What something in the admin asks for. Django makes four permissions for each table.
OF_USE = (
    Q(content_type__app_label="convstore")
    & Q(codename__in=("view_conversation", "view_message", "delete_conversation"))
    | Q(content_type__app_label="inspection", codename="view_auditentry")
    | Q(content_type__app_label="api_keys")
    & Q(codename__in=("view_apikey", "add_apikey", "change_apikey"))
    | Q(content_type__app_label="auth", content_type__model__in=("user", "group"))
)

# What the fields of a user mean here, in plain words.
HELP = {
    "username": "Up to 150 letters, digits and the characters @ . + - _",
    "is_active": "May sign in. Without this, the user cannot, and stays in the list.",
    "is_staff": "May open these pages, and see there what the permissions below allow.",
    "is_superuser": "May do everything, also without the permissions below.",
    "groups": "The user has all permissions of these groups.",
    "user_permissions": "What this user may do beside that.",
}

if TYPE_CHECKING:
    Pages = admin.ModelAdmin[Any]
else:
    Pages = object


class PermissionsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.name)


def permissions_of(user: Any) -> QuerySet[Permission]:
    """Those of a user, also of one who is not active, whose rights come back with a click."""
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()


class OwnRightsOnly(Pages):
    """A mixin: who is no superuser changes only what has no more rights than they have."""

    filter_horizontal = ()

    def rights(self, obj: Any) -> QuerySet[Permission]:
        raise NotImplementedError

    def _is_within(self, request: HttpRequest, obj: Any) -> bool:
        if obj is None or request.user.is_superuser:
            return True
        own = permissions_of(request.user)
        beyond = self.rights(obj).exclude(pk__in=own.values("pk"))
        return not getattr(obj, "is_superuser", False) and not beyond.exists()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_within(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_within(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **how: Any) -> Any:
        may_give = Permission.objects.all()
        if request and not request.user.is_superuser:
            may_give = permissions_of(request.user)
        how["widget"] = forms.CheckboxSelectMultiple  # they are few
        if db_field.remote_field.model is Permission:
            how["form_class"] = PermissionsField
            how["queryset"] = may_give.filter(OF_USE).select_related("content_type")
        else:
            others = Permission.objects.exclude(pk__in=may_give.values("pk"))
            how["queryset"] = Group.objects.exclude(permissions__in=others)
        return super().formfield_for_manytomany(db_field, request, **how)

    # --- The audit log -------------------------------------------------------------------

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        """Called in the transaction that saves: without an entry nothing is saved."""
        super().save_related(request, form, formsets, change)
        if differences := [*([] if change else ["made"]), *_differences(form)]:
            self._record(request, form.instance, ", ".join(differences))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._record(request, obj, "deleted")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self._record(request, obj, "deleted")
        super().delete_queryset(request, queryset)

    def _record(self, request: HttpRequest, obj: Any, what: str) -> None:
        record_event(request, Action.RIGHTS, f"{obj._meta.verbose_name} {obj}: {what}")


def _differences(form: Any) -> Iterable[str]:
    """What a form changes in rights, such as `+ convstore.view_message` or `- is_staff`."""
    for name in form.changed_data:
        before, after = form.initial.get(name), form.cleaned_data.get(name)
        if name in FLAGS:
            yield f"{'+' if after else '-'} {name}"
        elif name in ("groups", "permissions", "user_permissions"):
            old, new = set(before or ()), set(after or ())
            yield from (f"+ {_title(each)}" for each in sorted(new - old, key=_title))
            yield from (f"- {_title(each)}" for each in sorted(old - new, key=_title))
        elif name in ("username", "name") and before:
            yield f"was {before}"


def _title(right: Any) -> str:
    if isinstance(right, Group):
        return f"group {right}"
    return f"{right.content_type.app_label}.{right.codename}"


admin.site.unregister((User, Group))


@admin.register(User)
class UserPages(OwnRightsOnly, django_pages.UserAdmin):  # type: ignore[type-arg]
    def rights(self, obj: Any) -> QuerySet[Permission]:
        return permissions_of(obj)

    fieldsets = (*(django_pages.UserAdmin.fieldsets or ())[:-1], ("Times", {"fields": TIMES}))

    class Media:
        js = (forms.Script("inspection/times.js", defer=True),)

    @admin.display(description="last sign-in")
    def signed_in(self, user: User) -> str:
        return time_element(user.last_login) if user.last_login else "never"

    @admin.display(description="made")
    def made(self, user: User) -> str:
        return time_element(user.date_joined)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **how: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **how)
        if field and db_field.name in HELP:
            field.help_text = HELP[db_field.name]
        return field

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = (*super().get_readonly_fields(request, obj), *TIMES)
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def user_change_password(self, request: Any, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        with transaction.atomic():
            response = super().user_change_password(request, id, form_url)
            if request.method == "POST" and response.status_code == 302:
                self._record(request, self.get_object(request, id), "password changed")
        return response


@admin.register(Group)
class GroupPages(OwnRightsOnly, django_pages.GroupAdmin):  # type: ignore[misc]
    def rights(self, obj: Any) -> QuerySet[Permission]:
        return Permission.objects.filter(group=obj)
