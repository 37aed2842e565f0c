"""The store as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class ConvstoreConfig(AppConfig):
    name = "convstore"
    verbose_name = "Conversation store"
