"""Limit the unverified requests of one address per minute: forged receipts and unknown API keys."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import Request

from api.limits.quotas import WINDOW_SECONDS, FixedWindowClock, Quota
from api.limits.rate_counters import MAX_COUNTERS, Counters
from api.problems import Problem

# One caller can use all addresses of this prefix, so they count as one source.
IPV6_PREFIX = 64


class Sources:
    """Map addresses to the sources that are counted. `trusted_networks` contain proxies, which forward requests of many
    callers and are not counted."""

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


class SourceLimit:
    """Remember addresses over the limit until the minute ends, and refuse them before any work is done."""

    def __init__(self, quota: Quota, counters: Counters, sources: Sources, window_clock: FixedWindowClock) -> None:
        self._quota = quota
        self._counters = counters
        self._sources = sources
        self._window_clock = window_clock
        self._refused = set[str]()
        self._refused_window = 0

    def check(self, request: Request) -> None:
        """Raise Problem 429 if the address is over the limit."""
        source = self._source(request)
        window, seconds_left = self._window_clock.now()
        if self._refused_window != window:
            self._refused_window, self._refused = window, set()
        if source in self._refused:
            raise self._quota.exceeded(seconds_left)

    async def count(self, request: Request) -> None:
        """Count an unverified request. Raise Problem 429 if it exceeds the limit."""
        source = self._source(request)
        if source is None:
            return
        window, seconds_left = self._window_clock.now()
        if await self._counters.incr(f"{window}:{self._quota.name}:{source}", WINDOW_SECONDS) > self._quota.limit:
            if len(self._refused) < MAX_COUNTERS:
                self._refused.add(source)
            raise self._quota.exceeded(seconds_left)

    @asynccontextmanager
    async def count_unverified(self, request: Request) -> AsyncIterator[None]:
        """Count the requests that the block refuses. Raise Problem 429 at once if the address is over the limit."""
        self.check(request)
        try:
            yield
        except Problem as problem:
            if problem.status < 500:
                await self.count(request)
            raise

    def _source(self, request: Request) -> str | None:
        """Return the counted source of a request; None if it is not limited or a proxy forwards it."""
        return self._sources.key(request.client.host) if request.client and self._quota.limit else None
