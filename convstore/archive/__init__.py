"""What people read, search and delete. Each read is bounded, and nothing here writes a message."""

from __future__ import annotations
