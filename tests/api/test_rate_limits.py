"""Test the points of keys, tenants and addresses: their costs, and the response when they are used up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from api.app import create_app
from api.limits.rate_counters import Charge, ChargeResult, MemoryCounters, SharedCounters
from api.limits.rate_limits import COMPILE_POINTS, RENDER_POINTS, RateLimits
from bootstrap import Container
from config import Settings
from storage import api_keys
from storage.api_keys import ApiKeyInfo, upsert_key
from tests.api_tenants import SCOPES, ApiTenant, bearer
from tests.polling import eventually
from tests.redis import RedisServer, needs_redis, running_redis

pytestmark = pytest.mark.postgres

BASE = "http://tocsin.test/api/v1"
CALLER = "198.51.100.7"
FORGED = b'{"events": []}'


def settings(**limits: Any) -> Settings:
    return Settings(env="dev", secret_key=SecretStr(""), _env_file=None, **limits)


@dataclass
class RateClock:
    now: float = 1_000_060.0  # 20 s before a new minute

    def __call__(self) -> float:
        return self.now


@dataclass
class Limited:
    """One tenant of an application whose limits a test sets."""

    app: FastAPI
    new_key: Callable[[], Any]
    clock: RateClock = field(default_factory=RateClock)

    def limit(self, **limits: Any) -> None:
        self.app.state.rate_limits = RateLimits(settings(**limits), self.clock)

    @asynccontextmanager
    async def client(self, address: str = CALLER) -> AsyncIterator[AsyncClient]:
        headers = bearer(await self.new_key())
        transport = ASGITransport(self.app, client=(address, 4711))
        async with AsyncClient(transport=transport, base_url=BASE, headers=headers) as http:
            yield http


@pytest.fixture(scope="module")
def app(container: Container) -> FastAPI:
    return create_app(container)


@pytest.fixture
async def limited(app: FastAPI, container: Container, api_tenant: ApiTenant) -> AsyncIterator[Limited]:
    async def new_key() -> str:
        async with container.database.transaction() as session:
            _, key = await upsert_key(session, api_tenant.tenant, "test", SCOPES)
        return key

    yield Limited(app, new_key)
    app.state.rate_limits = RateLimits(settings())


@pytest.fixture(scope="module")
async def redis() -> AsyncIterator[RedisServer]:
    async with running_redis() as server:
        yield server


def left(response: Response) -> dict[str, int]:
    """Return the remaining points by name of the quota."""
    container = [part.split(";") for part in response.headers["RateLimit"].split(", ")]
    return {name.strip('"'): int(rest.removeprefix("r=")) for name, rest, _ in container}


async def statuses(client: AsyncClient, requests: int) -> list[int]:
    return [(await client.get("/settings")).status_code for _ in range(requests)]


async def test_header_fields_contain_the_remaining_points(limited: Limited) -> None:
    limited.limit(key_rate_limit=3, tenant_rate_limit=10)
    async with limited.client() as client:
        response = await client.get("/settings")
    assert response.headers["RateLimit-Policy"] == '"key";q=3;w=60, "tenant";q=10;w=60'
    assert response.headers["RateLimit"] == '"key";r=2;t=20, "tenant";r=9;t=20'


async def test_a_key_without_points_gets_429_until_the_next_minute(limited: Limited) -> None:
    limited.limit(key_rate_limit=2)
    async with limited.client() as client, limited.client() as other_key:
        assert await statuses(client, 2) == [200, 200]
        refused = await client.get("/settings")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "20")
        assert refused.headers["RateLimit"] == '"key";r=0;t=20'
        assert refused.json() == {
            "type": "urn:tocsin:problem:too-many-requests",
            "title": "Too many requests",
            "status": 429,
            "detail": "The API key has used its 2 points for this minute; retry in 20 s.",
        }
        assert await statuses(other_key, 1) == [200]
        limited.clock.now += 20
        assert await statuses(client, 1) == [200]


async def test_keys_of_a_tenant_share_its_points(limited: Limited) -> None:
    limited.limit(key_rate_limit=2, tenant_rate_limit=3)
    async with limited.client() as first, limited.client() as second:
        assert await statuses(first, 2) + await statuses(second, 2) == [200, 200, 200, 429]
        assert left(await second.get("/settings")) == {"key": 1, "tenant": 0}


async def test_work_is_counted_and_not_requests(limited: Limited) -> None:
    limited.limit(key_rate_limit=1_000)
    template = {"name": "hello", "channel": "sms", "language": "en", "body_template": "Hi", "variables_schema": {}}
    preview = {"channel": "sms", "payload": {}}
    many_values = {"global_channel_opt_in": {}, "attributes": {"many": list(range(2_500))}}
    async with limited.client() as client:

        async def cost(method: str, path: str, body: Any) -> int:
            before = left(await client.get("/settings"))["key"]
            return before - left(await client.request(method, path, json=body))["key"]

        assert await cost("POST", "/notifications/send-batch", {"items": [{}] * 40}) == 40
        assert await cost("POST", "/notifications/send", {"notification_type": "none", "recipients": [{}] * 30}) == 30
        copied = {"recipient_id": "ada", "email": {"cc": ["bob@example.com"], "bcc": ["cleo@example.com"]}}
        send = {"notification_type": "none", **copied}
        assert await cost("POST", "/notifications/send", send) == 1 + 2
        assert await cost("POST", "/notifications/send-batch", {"items": [send] * 3}) == 3 + 6
        several = {"notification_type": "none", "recipients": [copied]}
        assert await cost("POST", "/notifications/send", several) == 1 + 2
        assert await cost("POST", "/templates", {**template, "publish": True}) == 1 + COMPILE_POINTS
        assert await cost("POST", "/templates/hello/preview", preview) == 1 + RENDER_POINTS
        assert await cost("PUT", "/recipients/ada", many_values) == 1 + 2
        type_body = {
            "route": [{"channels": ["sms"]}, {"channels": ["email"]}],
            "templates": {"sms": "hello", "email": "hello"},
        }
        await client.put("/notification-types/hello", json=type_body)
        dry = {"notification_type": "hello", "recipient_id": "ada", "payload": {}, "dry_run": True}
        assert await cost("POST", "/notifications/send", dry) == 1 + 2 * RENDER_POINTS
        assert await cost("POST", "/notifications/send", dry | {"channels": ["sms"]}) == 1 + RENDER_POINTS


async def test_a_batch_that_is_refused_takes_one_point(limited: Limited) -> None:
    limited.limit(key_rate_limit=10)
    async with limited.client() as client:
        assert await statuses(client, 5) == [200] * 5
        assert (await client.post("/notifications/send-batch", json={"items": [{}] * 9})).status_code == 429
        assert await statuses(client, 4) == [200] * 4


async def test_a_batch_over_the_minutes_budget_takes_all_points(limited: Limited) -> None:
    limited.limit(key_rate_limit=10)
    async with limited.client() as client:
        accepted = await client.post("/notifications/send-batch", json={"items": [{}] * 1_000})
        assert (accepted.status_code, left(accepted)) == (202, {"key": 0})
        assert await statuses(client, 1) == [429]
        limited.clock.now += 20
        assert await statuses(client, 1) == [200]
        assert (await client.post("/notifications/send-batch", json={"items": [{}] * 1_000})).status_code == 429


async def test_unverified_receipts_are_limited_by_the_address_of_their_sender(limited: Limited) -> None:
    limited.limit(source_rate_limit=2, trusted_proxies="10.0.0.0/8")
    async with limited.client() as sender, limited.client("198.51.100.8") as other, limited.client("10.0.0.1") as proxy:
        for path in ("/receipts/sandbox", "/receipts/unknown"):
            assert (await sender.post(path, content=FORGED)).status_code in (401, 404)
        refused = [await sender.post("/receipts/sandbox", content=FORGED) for _ in range(2)]
        assert [(each.status_code, each.headers["Retry-After"]) for each in refused] == [(429, "20")] * 2
        assert (await other.post("/receipts/sandbox", content=FORGED)).status_code == 401
        assert [(await proxy.post("/receipts/sandbox", content=FORGED)).status_code for _ in range(4)] == [401] * 4
        limited.clock.now += 20
        assert (await sender.post("/receipts/sandbox", content=FORGED)).status_code == 401


async def test_unknown_keys_are_limited_by_the_address_of_their_sender(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited.limit(source_rate_limit=2, trusted_proxies="10.0.0.0/8")
    looked_up, find = [], api_keys.find_by_hash

    async def noted(session: AsyncSession, hash: str) -> ApiKeyInfo | None:
        looked_up.append(hash)
        return await find(session, hash)

    async def guess(client: AsyncClient) -> Response:
        return await client.get("/settings", headers={"Authorization": f"Bearer {uuid4()}"})

    monkeypatch.setattr(api_keys, "find_by_hash", noted)
    async with limited.client() as sender, limited.client("198.51.100.8") as other, limited.client("10.0.0.1") as proxy:
        assert await statuses(sender, 1) == [200]
        assert [(await guess(sender)).status_code for _ in range(3)] == [401, 401, 429]
        looked_up.clear()
        refused = await guess(sender)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "20")
        assert refused.json()["detail"].startswith("The address has used its 2 unknown API keys for this minute")
        async with limited.client() as unused:
            assert await statuses(unused, 1) == [429]
            assert looked_up == []
            limited.app.state.container.catalog.flush()
            assert await statuses(sender, 1) == [200]
            assert (await guess(other)).status_code == 401
            assert [(await guess(proxy)).status_code for _ in range(4)] == [401] * 4
            limited.clock.now += 20
            assert await statuses(unused, 1) == [200]
            assert (await guess(sender)).status_code == 401


async def test_unknown_keys_and_unverified_receipts_are_counted_apart(limited: Limited) -> None:
    limited.limit(source_rate_limit=1)
    async with limited.client() as sender:
        for _ in range(3):
            await sender.get("/settings", headers={"Authorization": f"Bearer {uuid4()}"})
        assert (await sender.post("/receipts/sandbox", content=FORGED)).status_code == 401


async def test_without_limits_nothing_is_counted(limited: Limited) -> None:
    limited.limit()
    async with limited.client() as client:
        assert "RateLimit" not in (await client.get("/settings")).headers


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
