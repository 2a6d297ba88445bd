"""How much work keys, tenants and senders of unverified requests may ask for per minute."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request

from api.callers import Caller
from api.quotas import WINDOW, Minutes, Quota
from api.rate_counters import BoundedMemory, Charge, Counters, SharedCounters
from api.source_limits import SourceLimit
from api.sources import Sources
from config import Settings
from metrics.engine import Limit

# One point is about a millisecond of work. A request costs one, and each further item of a batch.
RENDER_POINTS = 5
COMPILE_POINTS = 10
VALUES_PER_POINT = 1_000

State = dict[str, Any]
# In the state of a request: the header fields of its response, and the points that it was charged.
FIELDS, CHARGED = "rate_limit", "points"


class RateLimits:
    """`receipts` and `unknown_keys` limit addresses."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        url = settings.rate_limit_store.get_secret_value()
        self.shared = SharedCounters(url) if url else None
        # Apart, so that many addresses cannot displace the counters of callers.
        self._callers: Counters = self.shared or BoundedMemory()
        senders: Counters = self.shared or BoundedMemory()
        limits = settings.rate_limits
        self._key = Quota(name="key", owner="API key", limit=limits.key, reached=Limit.RATE_KEY)
        self._tenant = Quota(name="tenant", owner="tenant", limit=limits.tenant, reached=Limit.RATE_TENANT)
        self._policy = ", ".join(each.policy for each in (self._key, self._tenant) if each.limit).encode()
        self.limits_callers = bool(self._policy)
        self._minutes = Minutes(clock)
        receipts = Quota(name="source", owner="address", limit=limits.source, reached=Limit.RATE_SOURCE)
        unknown_keys = Quota(
            name="unknown_key",
            owner="address",
            limit=limits.source,
            unit="unknown API keys",
            reached=Limit.RATE_UNKNOWN_KEYS,
        )
        sources = Sources(settings.proxies)
        self.receipts = SourceLimit(receipts, senders, sources, self._minutes)
        self.unknown_keys = SourceLimit(unknown_keys, senders, sources, self._minutes)

    async def charge(self, caller: Caller, state: State, points: int) -> None:
        """Raise Problem 429, and take nothing, if the key or its tenant has too few points left.

        A request, whose `state` is given, may be charged several times, and takes at most all points of a minute.
        """
        if not self.limits_callers or points < 1:
            return
        window, left = self._minutes.now()
        before: int = state.get(CHARGED, 0)
        state[CHARGED] = before + points
        quotas = [(quota, owner) for quota, owner in self._owners(caller) if quota.limit]
        charges = [
            Charge(f"{window}:{quota.name}:{owner}", min(points, max(0, quota.limit - before)), quota.limit)
            for quota, owner in quotas
        ]
        charged = await self._callers.charge(charges, WINDOW)
        rests = ", ".join(
            [
                f'"{quota.name}";r={max(0, quota.limit - count)};t={left}'
                for (quota, _), count in zip(quotas, charged.counts, strict=True)
            ]
        )
        state[FIELDS] = [(b"ratelimit-policy", self._policy), (b"ratelimit", rests.encode())]
        if charged.exceeded is not None:
            raise quotas[charged.exceeded][0].exceeded(left)

    def _owners(self, caller: Caller) -> Sequence[tuple[Quota, object]]:
        return (self._key, caller.key_id), (self._tenant, caller.tenant)

    async def close(self) -> None:
        if self.shared is not None:
            await self.shared.close()


async def charge(request: Request, points: int) -> None:
    """Called by routes for work beyond the request itself. Raises Problem 429."""
    rates: RateLimits = request.app.state.rate_limits
    await rates.charge(request.state.caller, request.scope.setdefault("state", {}), points)


def header_fields(state: State) -> Sequence[tuple[bytes, bytes]]:
    fields: Sequence[tuple[bytes, bytes]] = state.get(FIELDS, ())
    return fields
