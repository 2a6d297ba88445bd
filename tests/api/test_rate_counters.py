"""Test the counters of points: in the memory of a process, and in Redis for several processes."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from api.limits.rate_counters import Charge, ChargeResult, MemoryCounters, SharedCounters
from api.limits.rate_limits import RateLimits
from tests.api.limited_apps import Limited, settings
from tests.polling import eventually
from tests.redis import RedisServer, needs_redis, running_redis

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
async def redis() -> AsyncIterator[RedisServer]:
    async with running_redis() as server:
        yield server


@needs_redis
async def test_processes_that_share_redis_count_like_one_process(limited: Limited, redis: RedisServer) -> None:
    async def responses(*stores: RateLimits) -> list[tuple[int, str]]:
        seen = []
        async with limited.client() as client:
            for number in range(9):
                limited.app.state.rate_limits = stores[number % len(stores)]
                items = 3 if number == 4 else 1
                response = await client.post("/notifications/send-batch", json={"items": [{}] * items})
                seen.append((response.status_code, response.headers["RateLimit"]))
        return seen

    given = {"key_rate_limit": 6, "tenant_rate_limit": 100}
    alone = await responses(RateLimits(settings(**given), limited.clock))
    shared = [RateLimits(settings(**given, rate_limit_store=redis.url), limited.clock) for _ in range(2)]
    together = await responses(*shared)
    for store in shared:
        await store.close()
    assert [status for status, _ in alone] == [202] * 4 + [429] + [202] + [429] * 3
    assert [(status, rest.split(",")[0]) for status, rest in together] == [
        (status, rest.split(",")[0]) for status, rest in alone
    ]


@needs_redis
async def test_a_refused_charge_is_visible_to_no_other_process(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.limits.rate_counters.RESPONSE_TIMEOUT", 30.0)
    one, other = SharedCounters(redis.url), SharedCounters(redis.url)
    name = str(uuid4())
    large, small = Charge(name, 100, 10), Charge(name, 1, 10)
    charged = await asyncio.gather(
        *(counters.charge([charge], 60) for _ in range(15) for counters, charge in ((one, large), (other, small)))
    )
    assert one.is_up
    assert other.is_up
    assert [each.exceeded for each in charged[::2]] == [0] * 15
    assert sorted(each.counts[0] for each in charged[1::2] if each.exceeded is None) == list(range(1, 11))
    for counters in (one, other):
        await counters.close()


@needs_redis
@pytest.mark.parametrize("is_shared", [False, True])
async def test_a_charge_takes_all_points_or_none(redis: RedisServer, *, is_shared: bool) -> None:
    shared = SharedCounters(redis.url)
    counters = shared if is_shared else MemoryCounters()
    key, tenant = str(uuid4()), str(uuid4())
    assert await counters.charge([Charge(key, 3, 5), Charge(tenant, 3, 10)], 60) == ChargeResult([3, 3], None)
    assert await counters.charge([Charge(key, 3, 5), Charge(tenant, 3, 10)], 60) == ChargeResult([3, 3], 0)
    assert await counters.charge([Charge(key, 1, 5), Charge(tenant, 9, 10)], 60) == ChargeResult([3, 3], 1)
    assert await counters.charge([Charge(key, 2, 5), Charge(tenant, 7, 10)], 60) == ChargeResult([5, 10], None)
    assert await counters.incr(key, 60) == 6
    await shared.close()


@needs_redis
async def test_a_process_counts_alone_while_redis_is_away(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.limits.rate_counters.STORE_RETRY_INTERVAL", 0.0)
    counters = SharedCounters(redis.url)

    async def count() -> bool:
        await counters.incr("probe", 60)
        return counters.is_up

    assert [await counters.incr("key", 60) for _ in range(2)] == [1, 2]
    with capture_logs() as logs:
        await redis.stop()
        assert [await counters.incr("key", 60) for _ in range(3)] == [1, 2, 3]
        assert not counters.is_up
        await redis.start()
        await eventually(count, bool)
        assert await counters.incr("key", 60) == 1
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    await counters.close()


async def test_the_memory_of_a_process_is_bounded() -> None:
    memory = MemoryCounters(capacity=3)
    assert [await memory.incr(name, 60) for name in "abcda"] == [1, 1, 1, 1, 1]
    assert await memory.incr("d", 60, 5) == 6
    assert len(memory.storage) == len(memory.expirations) == 3
