"""The contract and the HTTP door as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class MemoryApiConfig(AppConfig):
    name = "memory_api"
