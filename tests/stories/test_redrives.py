"""Check redrives: a new generation with new checks of preferences, expiry and pauses, and never two generations."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.api_tenants import ApiTenant
from tests.engine import Engine
from tests.polling import eventually
from tests.stories.test_holds import is_held
from tests.stories.test_regressions import post_receipt

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

WORKING_EMAIL = "ada@example.com"


async def redrive(api_tenant: ApiTenant, id: str, **body: Any) -> dict[str, Any]:
    return await api_tenant.call("POST", f"/notifications/{id}/redrive", body or None)


async def send_refused(api_tenant: ApiTenant, **fields: Any) -> str:
    """Send to a refused address, and return the id of the failed notification."""
    await api_tenant.put_type("news", ["email"], **fields)
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_for_end(id, "FAILED")
    return id


async def send_in_doubt(api_tenant: ApiTenant) -> str:
    """Send with a lost response, and return the id. The receipt is delayed for longer than a test waits."""
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    id = await api_tenant.send("code")
    await api_tenant.wait_for_end(id, "IN_DOUBT")
    await api_tenant.put_recipient("ada", email=WORKING_EMAIL)
    return id


def list_deliveries(notification: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [
        (delivery["generation"], delivery["channel"], delivery["status"]) for delivery in notification["deliveries"]
    ]


async def test_a_redriven_notification_is_sent_as_a_new_generation(api_tenant: ApiTenant, engine: Engine) -> None:
    id = await send_refused(api_tenant)
    await api_tenant.put_recipient("ada", email=WORKING_EMAIL)
    response = await redrive(api_tenant, id)
    assert response == {"id": id, "status": "PENDING", "generation": 2, "matched": 1, "redriven": 1, "skipped": []}
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert list_deliveries(notification) == [(1, "email", "FAILED"), (2, "email", "DELIVERED")]
    assert (notification["failure_reason"], notification["workflow_id"]) == (None, f"notification-{id}-2")
    statuses = [(entry["kind"], entry["status"]) for entry in notification["timeline"] if entry["status"]]
    assert statuses == [
        ("accepted", "PENDING"),
        ("failed", "FAILED"),
        ("redriven", "PENDING"),
        ("sent", "SENT"),
        ("delivered", "DELIVERED"),
    ]
    assert (await engine.workflow(id, 2).describe()).status is WorkflowExecutionStatus.COMPLETED
    assert len(await api_tenant.list_outbox()) == 1


async def test_a_redrive_that_fails_can_be_repeated(api_tenant: ApiTenant) -> None:
    id = await send_refused(api_tenant)
    for generation in (2, 3):
        assert (await redrive(api_tenant, id))["generation"] == generation
        notification = await api_tenant.wait_for_end(id, "FAILED")
        assert list_deliveries(notification) == [(number, "email", "FAILED") for number in range(1, generation + 1)]
        assert notification["failure_reason"] == "email: refused_recipient"


async def test_a_redrive_reads_preferences_again(api_tenant: ApiTenant) -> None:
    id = await send_refused(api_tenant)
    await api_tenant.put_recipient("ada", email=WORKING_EMAIL)
    await api_tenant.call("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    assert (await redrive(api_tenant, id))["skipped"] == [{"id": id, "reason": "opted_out"}]
    assert (await api_tenant.notification(id))["status"] == "FAILED"
    await api_tenant.call("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": True}})
    await api_tenant.call("POST", "/channels/email/pause")
    assert (await redrive(api_tenant, id))["redriven"] == 1
    await eventually(lambda: is_held(api_tenant, id), bool)
    await api_tenant.call("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.call("POST", "/channels/email/resume")
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"]) == (
        "SUPPRESSED",
        "email: opted_out (global_channel_opt_in.email)",
    )
    assert await api_tenant.list_outbox() == []


async def test_a_notification_in_doubt_is_redriven_only_with_force(api_tenant: ApiTenant) -> None:
    id = await send_in_doubt(api_tenant)
    assert (await redrive(api_tenant, id))["skipped"] == [{"id": id, "reason": "in_doubt"}]
    assert (await redrive(api_tenant, id, force=True))["redriven"] == 1
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert list_deliveries(notification) == [(1, "email", "IN_DOUBT"), (2, "email", "DELIVERED")]
    assert len(await api_tenant.list_outbox()) == 2


async def test_a_receipt_of_the_former_generation_stops_pending_deliveries(api_tenant: ApiTenant) -> None:
    id = await send_in_doubt(api_tenant)
    [attempt] = (await api_tenant.notification(id))["deliveries"][0]["attempts"]
    await api_tenant.call("POST", "/channels/email/pause")
    await redrive(api_tenant, id, force=True)
    await eventually(lambda: is_held(api_tenant, id), bool)
    assert await post_receipt(api_tenant, reference=attempt["id"]) == 204
    assert (await api_tenant.wait_for_status(id, "DELIVERED"))["finished_at"] is None
    await api_tenant.call("POST", "/channels/email/resume")
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert list_deliveries(notification) == [(1, "email", "DELIVERED"), (2, "email", "SKIPPED")]
    assert notification["deliveries"][1]["failure_reason"] == "already_sent (generation 1)"
    assert len(await api_tenant.list_outbox()) == 1


async def test_a_redriven_notification_can_be_canceled(api_tenant: ApiTenant) -> None:
    id = await send_refused(api_tenant)
    await api_tenant.call("POST", "/channels/email/pause")
    await redrive(api_tenant, id)
    await eventually(lambda: is_held(api_tenant, id), bool)
    response = await api_tenant.cancel(id)
    assert (response["status"], response["channels"]) == ("CANCELED", {"email": "stopped"})
    notification = await api_tenant.wait_until_finished(id)
    assert list_deliveries(notification) == [(1, "email", "FAILED"), (2, "email", "CANCELED")]


async def test_a_redrive_by_filter_sends_the_notifications_of_its_dry_run(
    api_tenant: ApiTenant, engine: Engine
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    email_of = {"bad": "ada+refuse@example.com", "lost": "ada+lost@example.com", "good": WORKING_EMAIL}
    for name, email in email_of.items():
        await api_tenant.put_recipient(name, email=email)
    failed_ids = await asyncio.gather(*(api_tenant.send("news", "bad") for _ in range(6)))
    in_doubt_id = await api_tenant.send("code", "lost")
    delivered_id = await api_tenant.send("news", "good")
    for id in (*failed_ids, in_doubt_id, delivered_id):
        await api_tenant.wait_for_end(id, "FAILED", "IN_DOUBT", "DELIVERED")
    await engine.sql("UPDATE notification SET expires_at = now() WHERE id = :id", id=failed_ids[0])
    for name in email_of:
        await api_tenant.put_recipient(name, email=WORKING_EMAIL)
    skipped = [{"id": failed_ids[0], "reason": "expired"}, {"id": in_doubt_id, "reason": "in_doubt"}]
    body: dict[str, Any] = {"filter": {}}
    dry_run = await api_tenant.call("POST", "/notifications/redrive", body | {"dry_run": True})
    assert dry_run == {"matched": 7, "redriven": 5, "skipped": sorted(skipped, key=lambda one: one["id"])}
    assert {(await api_tenant.notification(id))["status"] for id in failed_ids} == {"FAILED"}
    assert await api_tenant.call("POST", "/notifications/redrive", body) == dry_run
    for id in failed_ids[1:]:
        assert list_deliveries(await api_tenant.wait_for_end(id, "DELIVERED")) == [
            (1, "email", "FAILED"),
            (2, "email", "DELIVERED"),
        ]
    assert list_deliveries(await api_tenant.notification(delivered_id)) == [(1, "email", "DELIVERED")]
    repeated = await api_tenant.call("POST", "/notifications/redrive", body)
    assert (repeated["matched"], repeated["redriven"]) == (2, 0)
