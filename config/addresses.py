"""From which address a request came, as far as it can be believed."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest

# A network that a provider gives to one customer: whoever has one has all of its addresses.
IPV6_CUSTOMER = 64


def client_address(request: HttpRequest) -> str | None:
    """Give the peer's address, or the one that the outermost of TRUSTED_PROXIES proxies saw.

    Each proxy appends to X-Forwarded-For whom it heard from, so that only the last entries are theirs: everything
    before them is what the client wrote. An IPv6 address stands for its /64.
    """
    peer = _normal(request.META.get("REMOTE_ADDR", ""))
    if not settings.TRUSTED_PROXIES:
        return peer
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(entries) < settings.TRUSTED_PROXIES:
        return peer  # it did not come through all of them
    return _normal(entries[-settings.TRUSTED_PROXIES]) or peer


def _normal(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_CUSTOMER), strict=False).network_address)
