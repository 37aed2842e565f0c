"""The store: conversations and their messages, kept exactly, in any database that Django speaks."""

from __future__ import annotations

__version__ = "0.1.0"
