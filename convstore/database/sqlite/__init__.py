"""All that the project knows of SQLite."""

from __future__ import annotations
