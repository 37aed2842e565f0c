"""Where a request comes from, behind proxies that are trusted and others."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from convstore.client_address import client_address

PROXIES = [ip_network("10.0.0.1"), ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
CASES = [
    ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # nobody who is no proxy is believed
    ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the rest may be invented
    ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
    ("10.0.0.1", "10.1.2.3", "10.1.2.3"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", "somebody", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.1, <script>", "10.0.0.1"),
    ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
    ("fd00::7", "::ffff:198.51.100.1", "198.51.100.1"),
    ("", "198.51.100.1", ""),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CASES)
def test_the_client_is_whom_the_last_trusted_proxy_names(peer, forwarded, client):
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_address(environ, PROXIES) == client


def test_without_trusted_proxies_no_header_is_believed():
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.1"}
    assert client_address(environ, []) == "10.0.0.1"
