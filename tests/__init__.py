"""The tests, by what they need: `unit` nothing, `store` databases, all others a running service."""

from __future__ import annotations

import testing  # noqa: F401 - what it sets must be set before gRPC is imported
