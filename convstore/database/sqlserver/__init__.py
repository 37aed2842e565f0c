"""All that the project knows of SQL Server."""

from __future__ import annotations
