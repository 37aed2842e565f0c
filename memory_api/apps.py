"""The contract and the HTTP door as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class MemoryApiConfig(AppConfig):
    name = "memory_api"

    def ready(self) -> None:
        from memory_api import checks  # importing it registers the checks

        checks.leave_urls_to_deployment()
