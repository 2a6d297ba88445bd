"""Check calls with an unknown outcome: the type's guarantee decides, and a late receipt corrects the record."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from domain.names import SANDBOX_CHANNEL
from tests.api_tenants import ApiTenant
from tests.stories.conftest import CHANNELS, SandboxFailures
from tests.stories.test_sandbox_failures import list_outcomes, only_delivery

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

MAKE_RECEIPTS_DUE = """
UPDATE sandbox_receipt r SET due_at = now() FROM sandbox_message m, pg_notify(:channel, '')
 WHERE m.id = message_id AND notification_id = :id"""

on_every_channel = pytest.mark.parametrize("channel", CHANNELS)


@on_every_channel
async def test_a_hanging_call_is_in_doubt_under_at_most_once(sandbox_failures: SandboxFailures, channel: str) -> None:
    notification = await sandbox_failures.wait_until_finished(channel, "hang")
    assert (notification["status"], notification["failure_reason"]) == (
        "IN_DOUBT",
        f"{channel}: outcome_unknown: timeout",
    )
    assert list_outcomes(notification) == [("unknown", "timeout")]
    assert await sandbox_failures.list_outbox(notification["id"]) == []


async def test_reconcile_finds_an_accepted_message_after_a_lost_response(sandbox_failures: SandboxFailures) -> None:
    """Find the message by a lookup only: its receipt never arrives."""
    notification = await sandbox_failures.api_tenant.wait_until_finished(sandbox_failures.extra_ids["lost reconcile"])
    assert list_outcomes(notification) == [("accepted", None)]
    kinds = [entry["kind"] for entry in notification["timeline"]]
    assert kinds[kinds.index("attempt_unknown") + 1] == "sent"
    [message] = await sandbox_failures.list_outbox(notification["id"])
    assert only_delivery(notification)["attempts"][0]["provider_message_id"] == message["id"]


async def test_reconcile_resends_a_message_that_a_lookup_proves_absent(sandbox_failures: SandboxFailures) -> None:
    notification = await sandbox_failures.api_tenant.wait_until_finished(sandbox_failures.extra_ids["hang reconcile"])
    assert notification["status"] == "FAILED"
    assert notification["failure_reason"] == "email: retries_exhausted: proved_absent"
    assert list_outcomes(notification) == [("error", "proved_absent")]
    assert [entry["kind"] for entry in notification["timeline"]][-3:-1] == ["attempt_unknown", "attempt_not_accepted"]
    assert await sandbox_failures.list_outbox(notification["id"]) == []


async def test_at_least_once_resends_after_a_lost_response(sandbox_failures: SandboxFailures) -> None:
    notification = await sandbox_failures.api_tenant.wait_for_status(
        sandbox_failures.extra_ids["lost at_least_once"], "DELIVERED"
    )
    assert list_outcomes(notification) == [("unknown", "connection_reset"), ("accepted", None)]
    assert len(await sandbox_failures.list_outbox(notification["id"])) == 2
    assert "IN_DOUBT" not in [entry["status"] for entry in notification["timeline"]]


async def test_a_device_in_doubt_outweighs_a_device_that_refuses(api_tenant: ApiTenant) -> None:
    """Do not run the next step: the recipient could get the message twice."""
    await api_tenant.put_type("code", ["push"], ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "phone", "token-lost-1")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("code"))
    assert (notification["status"], [d["channel"] for d in notification["deliveries"]]) == ("IN_DOUBT", ["push"])
    assert len(await api_tenant.list_outbox()) == 1


async def test_a_channel_in_doubt_outweighs_a_failed_channel(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["email", "sms"], ["push"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com", phone="+15550000001")
    await api_tenant.put_device("ada", "phone", "token-1")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("code"))
    statuses = {d["channel"]: d["status"] for d in notification["deliveries"]}
    assert (notification["status"], statuses) == ("IN_DOUBT", {"email": "IN_DOUBT", "sms": "FAILED"})


async def test_a_delivered_channel_outweighs_a_channel_in_doubt(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["email", "sms"], ["push"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com", phone="+447700900123")
    await api_tenant.put_device("ada", "phone", "token-1")
    notification = await api_tenant.wait_for_end(await api_tenant.send("code"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in notification["deliveries"]} == {"email": "IN_DOUBT", "sms": "DELIVERED"}


@on_every_channel
async def test_a_lost_response_is_in_doubt_under_at_most_once(sandbox_failures: SandboxFailures, channel: str) -> None:
    id = sandbox_failures.ids[channel, "lost"]
    await sandbox_failures.api_tenant.wait_for_end(id, "IN_DOUBT")
    await sandbox_failures.api_tenant.engine.sql(MAKE_RECEIPTS_DUE, id=id, channel=SANDBOX_CHANNEL)
    notification = await sandbox_failures.api_tenant.wait_for_status(id, "DELIVERED")
    statuses = [entry["status"] for entry in notification["timeline"] if entry["status"]]
    assert statuses == ["PENDING", "IN_DOUBT", "DELIVERED"]
    assert (only_delivery(notification)["status"], notification["failure_reason"]) == ("DELIVERED", None)
    assert list_outcomes(notification) == [("unknown", "connection_reset")]
    assert len(await sandbox_failures.list_outbox(notification["id"])) == 1


@pytest.fixture
async def refused_outcomes(api_tenant: ApiTenant) -> AsyncIterator[None]:
    """Make Postgres refuse every outcome of this tenant's calls, as after a bug in Tocsin."""
    name = f"refuse_{api_tenant.tenant.hex}"
    function_body = "BEGIN RAISE check_violation; END"
    condition = f"WHEN (NEW.tenant = '{api_tenant.tenant}' AND NEW.state <> 'submitting')"
    async with api_tenant.engine.container.database.transaction() as session:
        await session.execute(text(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${function_body}$$"))
        await session.execute(
            text(f"CREATE TRIGGER {name} BEFORE UPDATE ON attempt FOR EACH ROW {condition} EXECUTE FUNCTION {name}()")
        )
    yield
    async with api_tenant.engine.container.database.transaction() as session:
        await session.execute(text(f"DROP FUNCTION {name} CASCADE"))


async def test_an_outcome_that_postgres_refuses_ends_in_doubt(api_tenant: ApiTenant, refused_outcomes: None) -> None:
    """End the notification although its message is sent, no row can record that, and no receipt arrives."""
    await api_tenant.put_type("code", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("code"))
    assert (notification["status"], notification["failure_reason"]) == ("IN_DOUBT", "internal")
    [attempt] = only_delivery(notification)["attempts"]
    assert (attempt["outcome"], attempt["reason"]) == (None, None)
    assert len(await api_tenant.list_outbox()) == 1
