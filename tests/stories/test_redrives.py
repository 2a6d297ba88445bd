"""What failed is sent again: as a new generation, with everything that forbids it asked again, and never twice."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.engine import ApiTenant, Engine
from tests.polling import eventually
from tests.stories.test_holds import held
from tests.stories.test_regressions import report

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

GOOD = "ada@example.com"


async def redrive(api_tenant: ApiTenant, id: str, **body: Any) -> dict[str, Any]:
    return await api_tenant.call("POST", f"/notifications/{id}/redrive", body or None)


async def refused(api_tenant: ApiTenant, **more: Any) -> str:
    """One that ended FAILED, for an address that may have been put right since."""
    await api_tenant.put_type("news", ["email"], **more)
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_for_end(id, "FAILED")
    return id


async def in_doubt(api_tenant: ApiTenant) -> str:
    """The provider has it, and its answer was lost; the receipt is held back for longer than a test waits."""
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    id = await api_tenant.send("code")
    await api_tenant.wait_for_end(id, "IN_DOUBT")
    await api_tenant.put_recipient("ada", email=GOOD)
    return id


def told(shown: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(one["generation"], one["channel"], one["status"]) for one in shown["deliveries"]]


async def test_one_that_failed_goes_out_again_as_a_new_generation(api_tenant: ApiTenant, engine: Engine) -> None:
    id = await refused(api_tenant)
    await api_tenant.put_recipient("ada", email=GOOD)
    answer = await redrive(api_tenant, id)
    assert answer == {"id": id, "status": "PENDING", "generation": 2, "matched": 1, "redriven": 1, "skipped": []}
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert told(shown) == [(1, "email", "FAILED"), (2, "email", "DELIVERED")]
    assert (shown["failure_reason"], shown["workflow_id"]) == (None, f"notification-{id}-2")
    statuses = [(entry["kind"], entry["status"]) for entry in shown["timeline"] if entry["status"]]
    assert statuses == [
        ("accepted", "PENDING"),
        ("failed", "FAILED"),
        ("redriven", "PENDING"),
        ("sent", "SENT"),
        ("delivered", "DELIVERED"),
    ]
    assert (await engine.workflow(id, 2).describe()).status is WorkflowExecutionStatus.COMPLETED
    assert len(await api_tenant.list_outbox()) == 1


async def test_it_can_fail_again_and_be_sent_again(api_tenant: ApiTenant) -> None:
    id = await refused(api_tenant)
    for generation in (2, 3):
        assert (await redrive(api_tenant, id))["generation"] == generation
        shown = await api_tenant.wait_for_end(id, "FAILED")
        assert told(shown) == [(number, "email", "FAILED") for number in range(1, generation + 1)]
        assert shown["failure_reason"] == "email: refused_recipient"


async def test_a_redrive_reads_preferences_again(api_tenant: ApiTenant) -> None:
    id = await refused(api_tenant)
    await api_tenant.put_recipient("ada", email=GOOD)
    await api_tenant.call("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    assert (await redrive(api_tenant, id))["skipped"] == [{"id": id, "reason": "opted_out"}]
    assert (await api_tenant.notification(id))["status"] == "FAILED"
    await api_tenant.call("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": True}})
    await api_tenant.call("POST", "/channels/email/pause")
    assert (await redrive(api_tenant, id))["redriven"] == 1
    await eventually(lambda: held(api_tenant, id), bool)
    await api_tenant.call("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.call("POST", "/channels/email/resume")
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], shown["failure_reason"]) == (
        "SUPPRESSED",
        "email: opted_out (global_channel_opt_in.email)",
    )
    assert await api_tenant.list_outbox() == []


async def test_pending_and_delivered_sends_are_not_redriven(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email=GOOD)
    id = await api_tenant.send("news")
    await api_tenant.wait_for_end(id, "DELIVERED")
    answer = await redrive(api_tenant, id, force=True)
    assert (answer["redriven"], answer["skipped"]) == (0, [{"id": id, "reason": "already_sent"}])
    assert (answer["status"], answer["generation"]) == ("DELIVERED", 1)
    assert len(await api_tenant.list_outbox()) == 1


async def test_an_expired_send_is_not_redriven(api_tenant: ApiTenant, engine: Engine) -> None:
    id = await refused(api_tenant, expires_in="1h")
    await engine.sql("UPDATE notification SET expires_at = now() WHERE id = :id", id=id)
    assert (await redrive(api_tenant, id))["skipped"] == [{"id": id, "reason": "expired"}]
    assert (await api_tenant.notification(id))["status"] == "FAILED"


async def test_a_doubt_is_sent_again_only_by_force(api_tenant: ApiTenant) -> None:
    id = await in_doubt(api_tenant)
    assert (await redrive(api_tenant, id))["skipped"] == [{"id": id, "reason": "in_doubt"}]
    assert (await redrive(api_tenant, id, force=True))["redriven"] == 1
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert told(shown) == [(1, "email", "IN_DOUBT"), (2, "email", "DELIVERED")]
    assert len(await api_tenant.list_outbox()) == 2


async def test_a_receipt_of_the_former_generation_stops_pending_deliveries(api_tenant: ApiTenant) -> None:
    id = await in_doubt(api_tenant)
    [call] = (await api_tenant.notification(id))["deliveries"][0]["attempts"]
    await api_tenant.call("POST", "/channels/email/pause")
    await redrive(api_tenant, id, force=True)
    await eventually(lambda: held(api_tenant, id), bool)
    assert await report(api_tenant, reference=call["id"]) == 204
    assert (await api_tenant.wait_for_status(id, "DELIVERED"))["finished_at"] is None
    await api_tenant.call("POST", "/channels/email/resume")
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert told(shown) == [(1, "email", "DELIVERED"), (2, "email", "SKIPPED")]
    assert shown["deliveries"][1]["failure_reason"] == "already_sent (generation 1)"
    assert len(await api_tenant.list_outbox()) == 1


async def test_such_a_receipt_leaves_the_steps_behind_it_out(api_tenant: ApiTenant) -> None:
    """The e-mail that was refused in both generations turns out to have arrived, while the SMS is paused."""
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000001")
    id = await api_tenant.send("news")
    shown = await api_tenant.wait_for_end(id, "FAILED")
    email = next(one for one in shown["deliveries"] if one["channel"] == "email")
    await api_tenant.call("POST", "/channels/sms/pause")
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+447700900123")
    await redrive(api_tenant, id)
    await eventually(lambda: held(api_tenant, id), bool)
    assert await report(api_tenant, reference=email["attempts"][0]["id"]) == 204
    await api_tenant.wait_for_status(id, "DELIVERED")
    await api_tenant.call("POST", "/channels/sms/resume")
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert told(shown)[2:] == [(2, "email", "FAILED"), (2, "sms", "SKIPPED")]
    assert shown["deliveries"][-1]["failure_reason"] == "goal_reached (step 1)"
    assert await api_tenant.list_outbox() == []


async def test_a_redriven_one_can_be_cancelled(api_tenant: ApiTenant) -> None:
    id = await refused(api_tenant)
    await api_tenant.call("POST", "/channels/email/pause")
    await redrive(api_tenant, id)
    await eventually(lambda: held(api_tenant, id), bool)
    answer = await api_tenant.cancel(id)
    assert (answer["status"], answer["channels"]) == ("CANCELED", {"email": "stopped"})
    shown = await api_tenant.wait_until_finished(id)
    assert told(shown) == [(1, "email", "FAILED"), (2, "email", "CANCELED")]


async def test_concurrent_redrives_make_one_generation(api_tenant: ApiTenant) -> None:
    id = await refused(api_tenant)
    await api_tenant.put_recipient("ada", email=GOOD)
    answers = await asyncio.gather(*(redrive(api_tenant, id) for _ in range(8)))
    assert sorted(answer["redriven"] for answer in answers) == [0] * 7 + [1]
    assert {answer["skipped"][0]["reason"] for answer in answers if answer["skipped"]} <= {
        "not_finished",
        "already_sent",
    }
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert told(shown) == [(1, "email", "FAILED"), (2, "email", "DELIVERED")]
    assert len(await api_tenant.list_outbox()) == 1


async def test_a_redrive_by_filter_sends_the_notifications_of_its_dry_run(
    api_tenant: ApiTenant, engine: Engine
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    people = {"bad": "ada+refuse@example.com", "lost": "ada+lost@example.com", "good": GOOD}
    for name, email in people.items():
        await api_tenant.put_recipient(name, email=email)
    failed = await asyncio.gather(*(api_tenant.send("news", "bad") for _ in range(6)))
    doubtful = await api_tenant.send("code", "lost")
    fine = await api_tenant.send("news", "good")
    for id in (*failed, doubtful, fine):
        await api_tenant.wait_for_end(id, "FAILED", "IN_DOUBT", "DELIVERED")
    await engine.sql("UPDATE notification SET expires_at = now() WHERE id = :id", id=failed[0])
    for name in people:
        await api_tenant.put_recipient(name, email=GOOD)
    skipped = [{"id": failed[0], "reason": "expired"}, {"id": doubtful, "reason": "in_doubt"}]
    everything: dict[str, Any] = {"filter": {}}
    dry = await api_tenant.call("POST", "/notifications/redrive", everything | {"dry_run": True})
    assert dry == {"matched": 7, "redriven": 5, "skipped": sorted(skipped, key=lambda one: one["id"])}
    assert {(await api_tenant.notification(id))["status"] for id in failed} == {"FAILED"}
    assert await api_tenant.call("POST", "/notifications/redrive", everything) == dry
    for id in failed[1:]:
        assert told(await api_tenant.wait_for_end(id, "DELIVERED")) == [
            (1, "email", "FAILED"),
            (2, "email", "DELIVERED"),
        ]
    assert told(await api_tenant.notification(fine)) == [(1, "email", "DELIVERED")]
    again = await api_tenant.call("POST", "/notifications/redrive", everything)
    assert (again["matched"], again["redriven"]) == (2, 0)
