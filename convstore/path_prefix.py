"""The path below which the service lives, as in https://example/convstore/: SCRIPT_NAME."""

from __future__ import annotations

from django.conf import settings


def path_below_prefix(path: str) -> str:
    """The path without SCRIPT_NAME, which a proxy may have removed and health probes never send."""
    prefix: str = settings.FORCE_SCRIPT_NAME or ""
    rest = path.removeprefix(prefix)
    if len(rest) == len(path):
        return path
    return (rest or "/") if rest[:1] in ("", "/") else path
