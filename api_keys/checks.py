"""`check --deploy` warns of doors that ask for no key, also where tenants have some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register

from api_keys.doors import HTTP, MLSERVER, open_doors
from api_keys.rows import is_any_tenants_key_there
from convstore.errors import Unavailable

WHAT_IS_OPEN = {
    HTTP: "whoever reaches the HTTP port can read and extend every conversation",
    MLSERVER: "whoever reaches MLServer's ports can read and extend every conversation",
}


@register(deploy=True)
def check_doors(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    shut = [] if find_spec("mlserver") else [MLSERVER]  # where nobody can start MLServer
    found = [door for door in open_doors() if door in WHAT_IS_OPEN and door not in shut]
    return [
        *(
            checks.Warning(
                f"The door '{door}' asks for no API key: {WHAT_IS_OPEN[door]}.",
                hint=f"Add {door} to REQUIRE_API_KEYS, or let a proxy or a mesh decide who may"
                " come.",
                id="api_keys.W001",
            )
            for door in found
        ),
        *_tenants_without_walls(found),
    ]


def _tenants_without_walls(doors: Sequence[str]) -> Iterator[CheckMessage]:
    with suppress(Unavailable):  # what cannot be reached is another check's
        if doors and is_any_tenants_key_there():
            yield checks.Warning(
                "There are API keys with a tenant, and no key is looked at by the door"
                f" {' and '.join(doors)}: whoever comes in there sees the conversations of all"
                " tenants.",
                hint="A tenant's key separates only at doors in REQUIRE_API_KEYS.",
                id="api_keys.W002",
            )
