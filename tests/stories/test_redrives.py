"""What failed is sent again: as a new generation, with everything that forbids it asked again, and never twice."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.engine import Engine, Shop
from tests.polling import eventually
from tests.stories.test_holds import held
from tests.stories.test_regressions import report

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

GOOD = "ada@example.com"


async def redrive(shop: Shop, id: str, **body: Any) -> dict[str, Any]:
    return await shop.ok("POST", f"/notifications/{id}/redrive", body or None)


async def refused(shop: Shop, **more: Any) -> str:
    """One that ended FAILED, for an address that may have been put right since."""
    await shop.type("news", ["email"], **more)
    await shop.person("ada", email="ada+refuse@example.com")
    id = await shop.send("news")
    await shop.ended(id, "FAILED")
    return id


async def in_doubt(shop: Shop) -> str:
    """The provider has it, and its answer was lost; the receipt is held back for longer than a test waits."""
    await shop.type("code", ["email"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+lost@example.com")
    id = await shop.send("code")
    await shop.ended(id, "IN_DOUBT")
    await shop.person("ada", email=GOOD)
    return id


def told(shown: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(one["generation"], one["channel"], one["status"]) for one in shown["deliveries"]]


async def test_one_that_failed_goes_out_again_as_a_new_generation(shop: Shop, engine: Engine) -> None:
    id = await refused(shop)
    await shop.person("ada", email=GOOD)
    answer = await redrive(shop, id)
    assert answer == {"id": id, "status": "PENDING", "generation": 2, "matched": 1, "redriven": 1, "skipped": []}
    shown = await shop.ended(id, "DELIVERED")
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
    assert len(await shop.outbox()) == 1


async def test_it_can_fail_again_and_be_sent_again(shop: Shop) -> None:
    id = await refused(shop)
    for generation in (2, 3):
        assert (await redrive(shop, id))["generation"] == generation
        shown = await shop.ended(id, "FAILED")
        assert told(shown) == [(number, "email", "FAILED") for number in range(1, generation + 1)]
        assert shown["failure_reason"] == "email: refused_recipient"


async def test_a_preference_is_asked_again(shop: Shop) -> None:
    id = await refused(shop)
    await shop.person("ada", email=GOOD)
    await shop.ok("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    assert (await redrive(shop, id))["skipped"] == [{"id": id, "reason": "opted_out"}]
    assert (await shop.shown(id))["status"] == "FAILED"
    await shop.ok("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": True}})
    await shop.ok("POST", "/channels/email/pause")
    assert (await redrive(shop, id))["redriven"] == 1
    await eventually(lambda: held(shop, id), bool)
    await shop.ok("PATCH", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await shop.ok("POST", "/channels/email/resume")
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"]) == (
        "SUPPRESSED",
        "email: opted_out (global_channel_opt_in.email)",
    )
    assert await shop.outbox() == []


async def test_what_is_on_its_way_or_has_arrived_is_not_sent_again(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email=GOOD)
    id = await shop.send("news")
    await shop.ended(id, "DELIVERED")
    answer = await redrive(shop, id, force=True)
    assert (answer["redriven"], answer["skipped"]) == (0, [{"id": id, "reason": "already_sent"}])
    assert (answer["status"], answer["generation"]) == ("DELIVERED", 1)
    assert len(await shop.outbox()) == 1


async def test_whose_time_is_over_gets_no_new_life(shop: Shop, engine: Engine) -> None:
    id = await refused(shop, expires_in="1h")
    await engine.sql("UPDATE notification SET expires_at = now() WHERE id = :id", id=id)
    assert (await redrive(shop, id))["skipped"] == [{"id": id, "reason": "expired"}]
    assert (await shop.shown(id))["status"] == "FAILED"


async def test_a_doubt_is_sent_again_only_by_force(shop: Shop) -> None:
    id = await in_doubt(shop)
    assert (await redrive(shop, id))["skipped"] == [{"id": id, "reason": "in_doubt"}]
    assert (await redrive(shop, id, force=True))["redriven"] == 1
    shown = await shop.ended(id, "DELIVERED")
    assert told(shown) == [(1, "email", "IN_DOUBT"), (2, "email", "DELIVERED")]
    assert len(await shop.outbox()) == 2


async def test_a_receipt_of_the_generation_before_stops_what_is_pending(shop: Shop) -> None:
    id = await in_doubt(shop)
    [call] = (await shop.shown(id))["deliveries"][0]["attempts"]
    await shop.ok("POST", "/channels/email/pause")
    await redrive(shop, id, force=True)
    await eventually(lambda: held(shop, id), bool)
    assert await report(shop, reference=call["id"]) == 204
    assert (await shop.until(id, "DELIVERED"))["finished_at"] is None
    await shop.ok("POST", "/channels/email/resume")
    shown = await shop.ended(id, "DELIVERED")
    assert told(shown) == [(1, "email", "DELIVERED"), (2, "email", "SKIPPED")]
    assert shown["deliveries"][1]["failure_reason"] == "already_sent (generation 1)"
    assert len(await shop.outbox()) == 1


async def test_such_a_receipt_leaves_the_steps_behind_it_out(shop: Shop) -> None:
    """The e-mail that was refused in both generations turns out to have arrived, while the SMS is paused."""
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+refuse@example.com", phone="+15550000001")
    id = await shop.send("news")
    shown = await shop.ended(id, "FAILED")
    email = next(one for one in shown["deliveries"] if one["channel"] == "email")
    await shop.ok("POST", "/channels/sms/pause")
    await shop.person("ada", email="ada+refuse@example.com", phone="+447700900123")
    await redrive(shop, id)
    await eventually(lambda: held(shop, id), bool)
    assert await report(shop, reference=email["attempts"][0]["id"]) == 204
    await shop.until(id, "DELIVERED")
    await shop.ok("POST", "/channels/sms/resume")
    shown = await shop.ended(id, "DELIVERED")
    assert told(shown)[2:] == [(2, "email", "FAILED"), (2, "sms", "SKIPPED")]
    assert shown["deliveries"][-1]["failure_reason"] == "goal_reached (step 1)"
    assert await shop.outbox() == []


async def test_a_redriven_one_can_be_cancelled(shop: Shop) -> None:
    id = await refused(shop)
    await shop.ok("POST", "/channels/email/pause")
    await redrive(shop, id)
    await eventually(lambda: held(shop, id), bool)
    answer = await shop.cancel(id)
    assert (answer["status"], answer["channels"]) == ("CANCELED", {"email": "stopped"})
    shown = await shop.finished(id)
    assert told(shown) == [(1, "email", "FAILED"), (2, "email", "CANCELED")]


async def test_asked_for_many_times_at_once_it_is_one_generation(shop: Shop) -> None:
    id = await refused(shop)
    await shop.person("ada", email=GOOD)
    answers = await asyncio.gather(*(redrive(shop, id) for _ in range(8)))
    assert sorted(answer["redriven"] for answer in answers) == [0] * 7 + [1]
    assert {answer["skipped"][0]["reason"] for answer in answers if answer["skipped"]} <= {
        "not_finished",
        "already_sent",
    }
    shown = await shop.ended(id, "DELIVERED")
    assert told(shown) == [(1, "email", "FAILED"), (2, "email", "DELIVERED")]
    assert len(await shop.outbox()) == 1


async def test_all_that_a_filter_finds_go_out_and_the_dry_run_said_so(shop: Shop, engine: Engine) -> None:
    await shop.type("news", ["email"])
    await shop.type("code", ["email"], delivery_guarantee="at_most_once")
    people = {"bad": "ada+refuse@example.com", "lost": "ada+lost@example.com", "good": GOOD}
    for name, email in people.items():
        await shop.person(name, email=email)
    failed = await asyncio.gather(*(shop.send("news", "bad") for _ in range(6)))
    doubtful = await shop.send("code", "lost")
    fine = await shop.send("news", "good")
    for id in (*failed, doubtful, fine):
        await shop.ended(id, "FAILED", "IN_DOUBT", "DELIVERED")
    await engine.sql("UPDATE notification SET expires_at = now() WHERE id = :id", id=failed[0])
    for name in people:
        await shop.person(name, email=GOOD)
    skipped = [{"id": failed[0], "reason": "expired"}, {"id": doubtful, "reason": "in_doubt"}]
    everything: dict[str, Any] = {"filter": {}}
    dry = await shop.ok("POST", "/notifications/redrive", everything | {"dry_run": True})
    assert dry == {"matched": 7, "redriven": 5, "skipped": sorted(skipped, key=lambda one: one["id"])}
    assert {(await shop.shown(id))["status"] for id in failed} == {"FAILED"}
    assert await shop.ok("POST", "/notifications/redrive", everything) == dry
    for id in failed[1:]:
        assert told(await shop.ended(id, "DELIVERED")) == [(1, "email", "FAILED"), (2, "email", "DELIVERED")]
    assert told(await shop.shown(fine)) == [(1, "email", "DELIVERED")]
    again = await shop.ok("POST", "/notifications/redrive", everything)
    assert (again["matched"], again["redriven"]) == (2, 0)
