"""The one operation, append and read the window, and its variants."""

from __future__ import annotations
