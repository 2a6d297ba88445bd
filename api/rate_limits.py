"""How much work keys, tenants and senders of unverified receipts may ask for per minute."""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from api.callers import Caller
from api.problems import Problem
from api.rate_counters import BoundedMemory, Counters, SharedCounters
from api.sources import Sources
from config import Settings
from metrics.engine import Limit, limit_reached

WINDOW = 60  # seconds; a new one begins with every minute
# One point is about a millisecond of work. A request costs one, and each further item of a batch.
RENDER_POINTS = 5
COMPILE_POINTS = 10
VALUES_PER_POINT = 1_000

State = dict[str, Any]
# In the state of a request: the header fields of its response, and the points that it was charged.
FIELDS, CHARGED = "rate_limit", "points"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """`limit` points per minute; `name` in header fields; `owner` in sentences."""

    name: str
    owner: str
    limit: int
    reached: Limit

    @property
    def policy(self) -> str:
        return f'"{self.name}";q={self.limit};w={WINDOW}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """`rest` is what is left of the quota; negative if these points were too many."""

    quota: Quota
    counter: str
    points: int
    rest: int


class RateLimits:
    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        url = settings.rate_limit_store.get_secret_value()
        self.shared = SharedCounters(url) if url else None
        # Apart, so that many addresses cannot displace the counters of callers.
        self._callers: Counters = self.shared or BoundedMemory()
        self._senders: Counters = self.shared or BoundedMemory()
        limits = settings.rate_limits
        self._key = Quota(name="key", owner="API key", limit=limits.key, reached=Limit.RATE_KEY)
        self._tenant = Quota(name="tenant", owner="tenant", limit=limits.tenant, reached=Limit.RATE_TENANT)
        self._source = Quota(name="source", owner="address", limit=limits.source, reached=Limit.RATE_SOURCE)
        self._policy = ", ".join(each.policy for each in (self._key, self._tenant) if each.limit).encode()
        self.limits_callers = bool(self._policy)
        self._sources = Sources(settings.proxies)
        self._clock = clock
        self._refused = set[str]()
        self._refused_in = 0

    async def charge(self, caller: Caller, state: State, points: int) -> None:
        """Raise Problem 429, and take nothing, if the key or its tenant has too few points left.

        A request, whose `state` is given, may be charged several times, and takes at most all points of a minute.
        """
        if not self.limits_callers or points < 1:
            return
        window, left = self._window()
        charged: int = state.get(CHARGED, 0)
        state[CHARGED] = charged + points
        charges = [
            await self._take(quota, f"{window}:{quota.name}:{owner}", min(points, max(0, quota.limit - charged)))
            for quota, owner in ((self._key, caller.key_id), (self._tenant, caller.tenant))
            if quota.limit
        ]
        exceeded = next((charge.quota for charge in charges if charge.rest < 0), None)
        if exceeded is not None:
            charges = [await self._take(charge.quota, charge.counter, -charge.points) for charge in charges]
        rests = ", ".join([f'"{charge.quota.name}";r={max(0, charge.rest)};t={left}' for charge in charges])
        state[FIELDS] = [(b"ratelimit-policy", self._policy), (b"ratelimit", rests.encode())]
        if exceeded is not None:
            raise _exceeded(exceeded, left)

    async def _take(self, quota: Quota, counter: str, points: int) -> Charge:
        count = await self._callers.incr(counter, WINDOW, points)
        return Charge(quota=quota, counter=counter, points=points, rest=quota.limit - count)

    async def close(self) -> None:
        if self.shared is not None:
            await self.shared.close()

    @asynccontextmanager
    async def unverified(self, request: Request) -> AsyncIterator[None]:
        """Count what the block refuses for the address of the sender; refuse at once if there was too much of it."""
        source = self._sources.key(request.client.host) if request.client and self._source.limit else None
        window, left = self._window()
        if source is not None and self._is_refused(source, window):
            raise _exceeded(self._source, left)
        try:
            yield
        except Problem as problem:
            if source is not None and problem.status < 500:
                await self._count(source, window, left)
            raise

    async def _count(self, source: str, window: int, left: int) -> None:
        if await self._senders.incr(f"{window}:source:{source}", WINDOW) > self._source.limit:
            self._refused.add(source)
            raise _exceeded(self._source, left)

    def _is_refused(self, source: str, window: int) -> bool:
        if self._refused_in != window:
            self._refused_in, self._refused = window, set()
        return source in self._refused

    def _window(self) -> tuple[int, int]:
        """The number of the minute, and the seconds until the next one."""
        window, passed = divmod(self._clock(), WINDOW)
        return int(window), math.ceil(WINDOW - passed)


def _exceeded(quota: Quota, left: int) -> Problem:
    limit_reached(quota.reached)
    detail = f"The {quota.owner} has used its {quota.limit} points of this minute; repeat the request in {left} s."
    return Problem(429, detail, headers={"Retry-After": str(left)})


async def charge(request: Request, points: int) -> None:
    """Called by routes for work beyond the request itself. Raises Problem 429."""
    rates: RateLimits = request.app.state.rate_limits
    await rates.charge(request.state.caller, request.scope.setdefault("state", {}), points)


def header_fields(state: State) -> Sequence[tuple[bytes, bytes]]:
    fields: Sequence[tuple[bytes, bytes]] = state.get(FIELDS, ())
    return fields
