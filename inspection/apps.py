"""The admin as two Django apps: our pages, and Django's admin with our `InspectionSite`."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.contrib.admin import apps as django_admin


class InspectionConfig(AppConfig):
    name = "inspection"
    verbose_name = "Admin"

    def ready(self) -> None:
        if apps.is_installed("api_keys"):  # which somebody else's project need not have
            import_module("inspection.key_admin")


class InspectionAdmin(django_admin.AdminConfig):
    default_site = "inspection.site.InspectionSite"
    default = False

    def ready(self) -> None:
        """The pages of users and the log of sign-ins are the service's: a project has its own."""
        super().ready()
        apps.get_app_config("auth").verbose_name = "Users and groups"
        import_module("inspection.accounts")
        import_module("inspection.signing_in").connect()
