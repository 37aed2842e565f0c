"""The admin as Django apps: our pages, and Django's site with our first page."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as django_admin


class InspectionConfig(AppConfig):
    name = "inspection"
    verbose_name = "Inspection"


class InspectionAdmin(django_admin.AdminConfig):
    default_site = "inspection.site.InspectionSite"
    default = False
