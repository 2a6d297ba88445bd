"""Limit the work per minute of keys, tenants and senders of unverified requests."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request

from api.limits.quotas import WINDOW_SECONDS, FixedWindowClock, Quota
from api.limits.rate_counters import Charge, Counters, MemoryCounters, SharedCounters
from api.limits.source_limits import SourceLimit, Sources
from config import Settings
from domain.audit import Caller
from metrics.engine import ReachedLimit

# One point is about a millisecond of work. A request costs one point, and one for each further item of a batch.
RENDER_POINTS = 5
COMPILE_POINTS = 10
VALUES_PER_POINT = 1_000

State = dict[str, Any]
# Names in the state of a request: the header fields of its response, and the points charged so far.
HEADER_FIELDS_KEY, CHARGED_POINTS_KEY = "rate_limit", "points"


class RateLimits:
    """The limits of one API process. `receipts` and `unknown_keys` limit addresses."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        url = settings.rate_limit_store.get_secret_value()
        self.shared = SharedCounters(url) if url else None
        # Separate, so that many addresses cannot displace the counters of callers.
        self._callers: Counters = self.shared or MemoryCounters()
        source_counters: Counters = self.shared or MemoryCounters()
        limits = settings.rate_limits
        self._key = Quota(name="key", owner="API key", limit=limits.key, metric=ReachedLimit.RATE_KEY)
        self._tenant = Quota(name="tenant", owner="tenant", limit=limits.tenant, metric=ReachedLimit.RATE_TENANT)
        self._policy = ", ".join(each.policy for each in (self._key, self._tenant) if each.limit).encode()
        self.limits_callers = bool(self._policy)
        self._window_clock = FixedWindowClock(clock)
        receipts = Quota(name="source", owner="address", limit=limits.source, metric=ReachedLimit.RATE_SOURCE)
        unknown_keys = Quota(
            name="unknown_key",
            owner="address",
            limit=limits.source,
            unit="unknown API keys",
            metric=ReachedLimit.RATE_UNKNOWN_KEYS,
        )
        sources = Sources(settings.trusted_networks)
        self.receipts = SourceLimit(receipts, source_counters, sources, self._window_clock)
        self.unknown_keys = SourceLimit(unknown_keys, source_counters, sources, self._window_clock)

    async def charge(self, caller: Caller, state: State, points: int) -> None:
        """Charge points to the key and its tenant. Raise Problem 429 and charge nothing if either has too few points
        left.

        A request, identified by its `state`, may be charged several times, and takes at most all points of a minute.
        """
        if not self.limits_callers or points < 1:
            return
        window, seconds_left = self._window_clock.now()
        points_before: int = state.get(CHARGED_POINTS_KEY, 0)
        state[CHARGED_POINTS_KEY] = points_before + points
        quotas = [(quota, owner) for quota, owner in self._owners(caller) if quota.limit]
        charges = [
            Charge(f"{window}:{quota.name}:{owner}", min(points, max(0, quota.limit - points_before)), quota.limit)
            for quota, owner in quotas
        ]
        charged = await self._callers.charge(charges, WINDOW_SECONDS)
        remaining = ", ".join(
            [
                f'"{quota.name}";r={max(0, quota.limit - count)};t={seconds_left}'
                for (quota, _), count in zip(quotas, charged.counts, strict=True)
            ]
        )
        state[HEADER_FIELDS_KEY] = [(b"ratelimit-policy", self._policy), (b"ratelimit", remaining.encode())]
        if charged.exceeded is not None:
            raise quotas[charged.exceeded][0].exceeded(seconds_left)

    def _owners(self, caller: Caller) -> Sequence[tuple[Quota, object]]:
        return (self._key, caller.key_id), (self._tenant, caller.tenant)

    async def close(self) -> None:
        if self.shared is not None:
            await self.shared.close()


async def charge(request: Request, points: int) -> None:
    """Charge points for work beyond the request itself. Raise Problem 429. Called by routes."""
    rates: RateLimits = request.app.state.rate_limits
    await rates.charge(request.state.caller, request.scope.setdefault("state", {}), points)


def header_fields(state: State) -> Sequence[tuple[bytes, bytes]]:
    fields: Sequence[tuple[bytes, bytes]] = state.get(HEADER_FIELDS_KEY, ())
    return fields
