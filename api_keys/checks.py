"""`check --deploy` warns of doors that ask for no key."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register

from api_keys.doors import HTTP, MLSERVER, open_doors

WHAT_IS_OPEN = {
    HTTP: "whoever reaches the HTTP port can read and extend every conversation",
    MLSERVER: "whoever reaches MLServer's ports can read and extend every conversation",
}


@register(deploy=True)
def check_doors(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    shut = [] if find_spec("mlserver") else [MLSERVER]  # where nobody can start MLServer
    return [
        checks.Warning(
            f"The door '{door}' asks for no API key: {WHAT_IS_OPEN[door]}.",
            hint=f"Add {door} to REQUIRE_API_KEYS, or let a proxy or a mesh decide who may come.",
            id="api_keys.W001",
        )
        for door in open_doors()
        if door in WHAT_IS_OPEN and door not in shut
    ]
