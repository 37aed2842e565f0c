"""Sessions of OpenAI's Agents SDK that are kept in convstore. It needs the extra `agents`."""

from __future__ import annotations

from convstore_agents.session import ConvstoreSession

__all__ = ["ConvstoreSession"]
