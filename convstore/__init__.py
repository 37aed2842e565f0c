"""The store: conversations and their messages, in any database that Django supports."""

from __future__ import annotations

__version__ = "0.1.0"
