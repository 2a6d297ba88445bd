"""A call whose outcome nobody knows: the type's guarantee decides, and a late receipt puts the record right."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from domain.names import SANDBOX_CHANNEL
from tests.engine import ApiTenant
from tests.stories.conftest import CHANNEL_NAMES, SandboxFailures
from tests.stories.test_sandbox_failures import only_delivery, outcomes

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

RECEIPTS_DUE = """
UPDATE sandbox_receipt r SET due_at = now() FROM sandbox_message m, pg_notify(:channel, '')
 WHERE m.id = message_id AND notification_id = :id"""

everywhere = pytest.mark.parametrize("place", CHANNEL_NAMES)


@everywhere
async def test_at_most_once_a_call_that_hangs_is_left_in_doubt(sandbox_failures: SandboxFailures, place: str) -> None:
    shown = await sandbox_failures.finished(place, "hang")
    assert (shown["status"], shown["failure_reason"]) == ("IN_DOUBT", f"{place}: outcome_unknown: timeout")
    assert outcomes(shown) == [("unknown", "timeout")]
    assert await sandbox_failures.in_outbox(shown["id"]) == []


async def test_reconcile_finds_an_accepted_message_after_a_lost_response(sandbox_failures: SandboxFailures) -> None:
    """Its receipt never comes."""
    lost = await sandbox_failures.api_tenant.wait_until_finished(sandbox_failures.others["lost reconcile"])
    assert outcomes(lost) == [("accepted", None)]
    kinds = [entry["kind"] for entry in lost["timeline"]]
    assert kinds[kinds.index("attempt_unknown") + 1] == "sent"
    [message] = await sandbox_failures.in_outbox(lost["id"])
    assert only_delivery(lost)["attempts"][0]["provider_message_id"] == message["id"]


async def test_reconcile_resends_a_message_that_is_proved_absent(sandbox_failures: SandboxFailures) -> None:
    hang = await sandbox_failures.api_tenant.wait_until_finished(sandbox_failures.others["hang reconcile"])
    assert hang["status"] == "FAILED"
    assert hang["failure_reason"] == "email: gave_up: proved_absent"
    assert outcomes(hang) == [("error", "proved_absent")]
    assert [entry["kind"] for entry in hang["timeline"]][-3:-1] == ["attempt_unknown", "attempt_not_accepted"]
    assert await sandbox_failures.in_outbox(hang["id"]) == []


async def test_at_least_once_resends_after_a_lost_response(sandbox_failures: SandboxFailures) -> None:
    shown = await sandbox_failures.api_tenant.wait_for_status(
        sandbox_failures.others["lost at_least_once"], "DELIVERED"
    )
    assert outcomes(shown) == [("unknown", "connection_reset"), ("accepted", None)]
    assert len(await sandbox_failures.in_outbox(shown["id"])) == 2
    assert "IN_DOUBT" not in [entry["status"] for entry in shown["timeline"]]


async def test_one_device_in_doubt_outweighs_one_that_refused(api_tenant: ApiTenant) -> None:
    """The next step might tell the person twice."""
    await api_tenant.put_type("code", ["push"], ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "phone", "token-lost-1")
    shown = await api_tenant.wait_until_finished(await api_tenant.send("code"))
    assert (shown["status"], [d["channel"] for d in shown["deliveries"]]) == ("IN_DOUBT", ["push"])
    assert len(await api_tenant.list_outbox()) == 1


async def test_one_channel_in_doubt_outweighs_one_that_failed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["email", "sms"], ["push"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com", phone="+15550000001")
    await api_tenant.put_device("ada", "phone", "token-1")
    shown = await api_tenant.wait_until_finished(await api_tenant.send("code"))
    said = {d["channel"]: d["status"] for d in shown["deliveries"]}
    assert (shown["status"], said) == ("IN_DOUBT", {"email": "IN_DOUBT", "sms": "FAILED"})


async def test_a_channel_that_arrived_outweighs_one_in_doubt(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["email", "sms"], ["push"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com", phone="+447700900123")
    await api_tenant.put_device("ada", "phone", "token-1")
    shown = await api_tenant.wait_for_end(await api_tenant.send("code"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"email": "IN_DOUBT", "sms": "DELIVERED"}


@everywhere
async def test_at_most_once_is_in_doubt_after_a_lost_response(sandbox_failures: SandboxFailures, place: str) -> None:
    id = sandbox_failures.asked[place, "lost"]
    await sandbox_failures.api_tenant.wait_for_end(id, "IN_DOUBT")
    await sandbox_failures.api_tenant.engine.sql(RECEIPTS_DUE, id=id, channel=SANDBOX_CHANNEL)
    shown = await sandbox_failures.api_tenant.wait_for_status(id, "DELIVERED")
    statuses = [entry["status"] for entry in shown["timeline"] if entry["status"]]
    assert statuses == ["PENDING", "IN_DOUBT", "DELIVERED"]
    assert (only_delivery(shown)["status"], shown["failure_reason"]) == ("DELIVERED", None)
    assert outcomes(shown) == [("unknown", "connection_reset")]
    assert len(await sandbox_failures.in_outbox(shown["id"])) == 1


@pytest.fixture
async def unrecordable(api_tenant: ApiTenant) -> AsyncIterator[None]:
    """Postgres refuses every outcome of this tenant's calls, as a bug of ours would make it do."""
    name = f"refuse_{api_tenant.tenant.hex}"
    raising = "BEGIN RAISE check_violation; END"
    of_tenant = f"WHEN (NEW.tenant = '{api_tenant.tenant}' AND NEW.state <> 'submitting')"
    async with api_tenant.engine.container.database.transaction() as session:
        await session.execute(text(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$"))
        await session.execute(
            text(f"CREATE TRIGGER {name} BEFORE UPDATE ON attempt FOR EACH ROW {of_tenant} EXECUTE FUNCTION {name}()")
        )
    yield
    async with api_tenant.engine.container.database.transaction() as session:
        await session.execute(text(f"DROP FUNCTION {name} CASCADE"))


async def test_an_outcome_that_can_never_be_recorded_ends_in_doubt(api_tenant: ApiTenant, unrecordable: None) -> None:
    """It went out, no row may say so, and no receipt comes: nobody waits for ever."""
    await api_tenant.put_type("code", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    shown = await api_tenant.wait_until_finished(await api_tenant.send("code"))
    assert (shown["status"], shown["failure_reason"]) == ("IN_DOUBT", "internal")
    [attempt] = only_delivery(shown)["attempts"]
    assert (attempt["outcome"], attempt["reason"]) == (None, None)
    assert len(await api_tenant.list_outbox()) == 1
