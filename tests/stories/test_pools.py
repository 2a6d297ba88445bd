"""Two providers for one channel: one that is down is gone round, and gets its traffic back when it is well."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import ApiTenant, open_api_tenant, running_engine
from tests.polling import eventually
from tests.stories.vendors import CountingMailServer, CountingSendGrid, environment, vendors

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[CountingSendGrid, CountingMailServer]]:
    async with vendors() as (web, mail):
        for name, value in environment(web, mail).items():
            monkeypatch.setenv(name, value)
        yield web, mail


@pytest.fixture
def web(pool: tuple[CountingSendGrid, CountingMailServer]) -> CountingSendGrid:
    return pool[0]


@pytest.fixture
def mail(pool: tuple[CountingSendGrid, CountingMailServer]) -> CountingMailServer:
    return pool[1]


@pytest.fixture
def members() -> list[str]:
    return ["sendgrid=50", "smtp=50"]


@pytest.fixture
async def pooled(
    pool: tuple[CountingSendGrid, CountingMailServer], members: list[str], database_url: str, tmp_path: Path
) -> AsyncIterator[ApiTenant]:
    async with (
        running_engine(database_url, tmp_path, email_providers=members) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.put_type("news", ["email"])
        yield api_tenant


async def send(api_tenant: ApiTenant, count: int, name: str = "person") -> list[str]:
    for number in range(count):
        await api_tenant.put_recipient(f"{name}-{number}", email=f"{name}-{number}@example.com")
    return await asyncio.gather(*(api_tenant.send("news", f"{name}-{number}") for number in range(count)))


async def ended(api_tenant: ApiTenant, ids: list[str]) -> list[dict[str, Any]]:
    return [await api_tenant.wait_until_finished(id) for id in ids]


async def health(api_tenant: ApiTenant, name: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = (await api_tenant.call("GET", "/providers"))["items"]
    return next(item for item in items if item["name"] == name)


async def until_state(api_tenant: ApiTenant, name: str, *states: str) -> dict[str, Any]:
    return await eventually(lambda: health(api_tenant, name), lambda seen: seen["health"]["state"] in states)


async def test_both_get_their_share(pooled: ApiTenant, web: CountingSendGrid, mail: CountingMailServer) -> None:
    await ended(pooled, await send(pooled, 40))
    assert len(web.kept) + len(mail.kept) == 40
    assert 8 <= len(mail.kept) <= 32


async def test_a_failing_provider_is_bypassed_and_recovers(
    pooled: ApiTenant, web: CountingSendGrid, mail: CountingMailServer
) -> None:
    await web.stop()
    first = await send(pooled, 30, "during")
    seen = await until_state(pooled, "sendgrid", "open", "half_open")
    # A half-open provider keeps half its weight, so that some messages try it.
    assert seen["weights"] == {"email": 0 if seen["health"]["state"] == "open" else 25}
    shown = await ended(pooled, first)
    assert {each["status"] for each in shown} == {"SENT"}
    assert sorted(mail.kept) == sorted(f"during-{number}@example.com" for number in range(30))
    await web.start()
    await until_state(pooled, "sendgrid", "half_open")
    # It believes after a few good calls; which messages try it is drawn.
    batches = 0
    while (await health(pooled, "sendgrid"))["health"]["state"] != "closed":
        batches += 1
        await ended(pooled, await send(pooled, 10, f"probing-{batches}"))
    assert len(mail.kept) + sum(web.kept.values()) == 30 + 10 * batches
    assert set(web.kept.values()) == {1}
    assert sum(web.kept.values()) >= 3


async def test_refused_credentials_are_logged_once_and_not_used_again(
    pooled: ApiTenant, web: CountingSendGrid, mail: CountingMailServer, caplog: pytest.LogCaptureFixture
) -> None:
    web.status = 401
    shown = await ended(pooled, await send(pooled, 12, "first"))
    assert {each["status"] for each in shown} == {"SENT"}
    seen = await until_state(pooled, "sendgrid", "open")
    assert seen["health"]["reason"] == "credentials_refused"
    called = sum(web.called.values())
    await ended(pooled, await send(pooled, 20, "second"))
    assert sum(web.called.values()) == called
    assert len(mail.kept) == 32


class TestAlone:
    @pytest.fixture
    def members(self) -> list[str]:
        return ["sendgrid"]

    async def test_messages_of_the_only_provider_wait_until_it_recovers(
        self, pooled: ApiTenant, web: CountingSendGrid
    ) -> None:
        await web.stop()
        first = await send(pooled, 10, "early")
        await until_state(pooled, "sendgrid", "open", "half_open")
        second = await send(pooled, 10, "late")
        await eventually(lambda: pooled.notification(second[0]), lambda shown: shown["waits_for"] == "circuit_open")
        await web.start()
        shown = await ended(pooled, [*first, *second])
        assert {each["status"] for each in shown} == {"SENT"}
        assert len(web.kept) == 20
        assert set(web.kept.values()) == {1}
        reasons = {entry["reason"] for each in shown for entry in each["timeline"] if entry["kind"] == "held"}
        assert reasons == {"circuit_open (sendgrid)"}


async def test_a_bad_message_opens_no_circuit(pooled: ApiTenant, web: CountingSendGrid) -> None:
    """One delivery that is tried again and again says nothing of the others."""
    web.status = 503
    id = (await send(pooled, 1))[0]
    await eventually(lambda: pooled.notification(id), lambda shown: shown["status"] == "SENT")
    assert (await health(pooled, "sendgrid"))["health"]["state"] == "closed"
