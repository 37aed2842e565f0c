"""Addresses: that of a client, also behind proxies that are trusted to name it; and loopback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network


def client_address(environ: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """The address from which a request comes; "" if the server knows none.

    Each proxy adds the address of its own client to the end of X-Forwarded-For. So the list is read
    from its end, for as long as whoever added an address is trusted: the rest may be invented.
    """
    address = environ.get("REMOTE_ADDR") or ""
    if not trusted:
        return address
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    client = _parse_address(address)
    while client and forwarded and any(client in network for network in trusted):
        if (before := _parse_address(forwarded.pop().strip())) is None:
            break
        client = before
    return str(client) if client else address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there, or sends what comes from there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A server that listens for both names an IPv4 client by an IPv6 address.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
