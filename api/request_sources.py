"""Determine the source of a request for the limits per source."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

# One caller can use all addresses of this prefix, so they count as one source.
IPV6_PREFIX = 64


class Sources:
    """`trusted_networks` contain the proxies that forward requests of many callers. Their addresses are not counted."""

    def __init__(self, trusted_networks: Iterable[str]) -> None:
        self._proxies = [ip_network(proxy) for proxy in trusted_networks]
        self.key = lru_cache(maxsize=4096)(self._key)

    def _key(self, address: str) -> str | None:
        """Return the source of an address, or None for a proxy and for an invalid address."""
        try:
            ip = ip_address(address)
        except ValueError:
            return None
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(ip in network for network in self._proxies):
            return None
        return str(ip_network((ip, IPV6_PREFIX), strict=False)) if isinstance(ip, IPv6Address) else str(ip)
