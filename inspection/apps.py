"""The admin as two Django apps: our pages, and Django's admin with our `InspectionSite`."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.contrib.admin import apps as django_admin


class InspectionConfig(AppConfig):
    name = "inspection"
    verbose_name = "Admin"


class InspectionAdmin(django_admin.SimpleAdminConfig):
    """Django's admin, whose pages `InspectionSite` imports where URLs need them."""

    default_site = "inspection.site.InspectionSite"
    default = False

    def ready(self) -> None:
        """The log of sign-ins is the service's: a project has its own."""
        from inspection import signing_in

        super().ready()
        apps.get_app_config("auth").verbose_name = "Users and groups"
        signing_in.connect()
