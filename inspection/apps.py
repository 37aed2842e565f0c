"""The admin as two Django apps: our pages, and Django's admin with our `InspectionSite`."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as django_admin


class InspectionConfig(AppConfig):
    name = "inspection"
    verbose_name = "Admin"


class InspectionAdmin(django_admin.AdminConfig):
    default_site = "inspection.site.InspectionSite"
    default = False
