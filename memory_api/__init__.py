"""The contract: what a memory answers to a V2 request, and its HTTP door."""

from __future__ import annotations
