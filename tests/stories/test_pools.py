"""Check a pool of two providers: an unavailable one is bypassed and gets its share back after it recovers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.sendgrid import FakeSendGrid
from testing.vendors.smtp import MailServer
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import running_engine
from tests.polling import eventually
from tests.stories.vendors import run_vendors, vendor_environment

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def vendor_pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[FakeSendGrid, MailServer]]:
    async with run_vendors() as (sendgrid, mail_server):
        for name, value in vendor_environment(sendgrid, mail_server).items():
            monkeypatch.setenv(name, value)
        yield sendgrid, mail_server


@pytest.fixture
def sendgrid(vendor_pair: tuple[FakeSendGrid, MailServer]) -> FakeSendGrid:
    return vendor_pair[0]


@pytest.fixture
def mail_server(vendor_pair: tuple[FakeSendGrid, MailServer]) -> MailServer:
    return vendor_pair[1]


@pytest.fixture
def pool_weights() -> list[str]:
    return ["sendgrid=50", "smtp=50"]


@pytest.fixture
async def pool_tenant(
    vendor_pair: tuple[FakeSendGrid, MailServer], pool_weights: list[str], database_url: str, tmp_path: Path
) -> AsyncIterator[ApiTenant]:
    async with (
        running_engine(database_url, tmp_path, email_providers=pool_weights) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.put_type("news", ["email"])
        yield api_tenant


async def send(api_tenant: ApiTenant, count: int, name: str = "recipient") -> list[str]:
    for number in range(count):
        await api_tenant.put_recipient(f"{name}-{number}", email=f"{name}-{number}@example.com")
    return await asyncio.gather(*(api_tenant.send("news", f"{name}-{number}") for number in range(count)))


async def wait_until_all_finished(api_tenant: ApiTenant, ids: list[str]) -> list[dict[str, Any]]:
    return [await api_tenant.wait_until_finished(id) for id in ids]


async def read_provider(api_tenant: ApiTenant, name: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = (await api_tenant.call("GET", "/providers"))["items"]
    return next(item for item in items if item["name"] == name)


async def wait_for_circuit(api_tenant: ApiTenant, name: str, *states: str) -> dict[str, Any]:
    return await eventually(
        lambda: read_provider(api_tenant, name), lambda provider: provider["health"]["state"] in states
    )


async def test_each_provider_of_a_pool_gets_its_share(
    pool_tenant: ApiTenant, sendgrid: FakeSendGrid, mail_server: MailServer
) -> None:
    await wait_until_all_finished(pool_tenant, await send(pool_tenant, 40))
    assert len(sendgrid.log.kept) + len(mail_server.accepted) == 40
    assert 8 <= len(mail_server.accepted) <= 32


async def test_a_failing_provider_is_bypassed_and_recovers(
    pool_tenant: ApiTenant, sendgrid: FakeSendGrid, mail_server: MailServer
) -> None:
    await sendgrid.stop()
    early_ids = await send(pool_tenant, 30, "during")
    provider = await wait_for_circuit(pool_tenant, "sendgrid", "open", "half_open")
    # A half-open provider keeps half its weight, so that some messages probe it.
    assert provider["weights"] == {"email": 0 if provider["health"]["state"] == "open" else 25}
    notifications = await wait_until_all_finished(pool_tenant, early_ids)
    assert {notification["status"] for notification in notifications} == {"SENT"}
    assert sorted(mail_server.accepted) == sorted(f"during-{number}@example.com" for number in range(30))
    await sendgrid.start()
    await wait_for_circuit(pool_tenant, "sendgrid", "half_open")
    # The circuit closes after a few accepted calls. The messages that probe it are selected at random.
    batches = 0
    while (await read_provider(pool_tenant, "sendgrid"))["health"]["state"] != "closed":
        batches += 1
        await wait_until_all_finished(pool_tenant, await send(pool_tenant, 10, f"probing-{batches}"))
    assert len(mail_server.accepted) + sum(sendgrid.log.kept.values()) == 30 + 10 * batches
    assert set(sendgrid.log.kept.values()) == {1}
    assert sum(sendgrid.log.kept.values()) >= 3


async def test_a_provider_that_refuses_credentials_gets_no_further_calls(
    pool_tenant: ApiTenant,
    sendgrid: FakeSendGrid,
    mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sendgrid.mode = VendorMode.BREAKS
    # The circuit opens after three refusals, and half of the messages are sent through this provider.
    notifications = await wait_until_all_finished(pool_tenant, await send(pool_tenant, 24, "first"))
    assert {notification["status"] for notification in notifications} == {"SENT"}
    provider = await wait_for_circuit(pool_tenant, "sendgrid", "open")
    assert provider["health"]["reason"] == "credentials_refused"
    received = sum(sendgrid.log.called.values())
    await wait_until_all_finished(pool_tenant, await send(pool_tenant, 20, "second"))
    assert sum(sendgrid.log.called.values()) == received
    assert len(mail_server.accepted) == 44


class TestOnlyProvider:
    @pytest.fixture
    def pool_weights(self) -> list[str]:
        return ["sendgrid"]

    async def test_messages_of_the_only_provider_wait_until_it_recovers(
        self, pool_tenant: ApiTenant, sendgrid: FakeSendGrid
    ) -> None:
        await sendgrid.stop()
        early_ids = await send(pool_tenant, 10, "early")
        await wait_for_circuit(pool_tenant, "sendgrid", "open", "half_open")
        late_ids = await send(pool_tenant, 10, "late")
        await eventually(
            lambda: pool_tenant.notification(late_ids[0]), lambda found: found["waits_for"] == "circuit_open"
        )
        await sendgrid.start()
        notifications = await wait_until_all_finished(pool_tenant, [*early_ids, *late_ids])
        assert {notification["status"] for notification in notifications} == {"SENT"}
        assert len(sendgrid.log.kept) == 20
        assert set(sendgrid.log.kept.values()) == {1}
        entries = [entry for notification in notifications for entry in notification["timeline"]]
        assert {entry["reason"] for entry in entries if entry["kind"] == "held"} == {"circuit_open (sendgrid)"}


async def test_repeated_errors_of_one_message_do_not_open_the_circuit(
    pool_tenant: ApiTenant, sendgrid: FakeSendGrid
) -> None:
    """Count the errors of one delivery as one: they are no evidence about other messages."""
    sendgrid.reply = Reply(status=503)
    id = (await send(pool_tenant, 1))[0]
    await eventually(lambda: pool_tenant.notification(id), lambda found: found["status"] == "SENT")
    assert (await read_provider(pool_tenant, "sendgrid"))["health"]["state"] == "closed"
