"""What people read, search and erase; each query is bounded."""

from __future__ import annotations
