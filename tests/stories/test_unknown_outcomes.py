"""A call whose outcome nobody knows: the type's guarantee decides, and a late receipt puts the record right."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from domain.names import SANDBOX_CHANNEL
from tests.engine import Shop
from tests.stories.conftest import PLACES, BadDays
from tests.stories.test_sandbox_words import only_delivery, outcomes

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

RECEIPTS_DUE = """
UPDATE sandbox_receipt r SET due_at = now() FROM sandbox_message m, pg_notify(:channel, '')
 WHERE m.id = message_id AND notification_id = :id"""

everywhere = pytest.mark.parametrize("place", PLACES)


@everywhere
async def test_at_most_once_a_call_that_hangs_is_left_in_doubt(bad_days: BadDays, place: str) -> None:
    shown = await bad_days.finished(place, "hang")
    assert (shown["status"], shown["failure_reason"]) == ("IN_DOUBT", f"{place}: outcome_unknown: timeout")
    assert outcomes(shown) == [("unknown", "timeout")]
    assert await bad_days.in_outbox(shown["id"]) == []


async def test_reconcile_asks_for_a_lost_answer_and_finds_what_was_accepted(bad_days: BadDays) -> None:
    """Its receipt never comes."""
    lost = await bad_days.shop.finished(bad_days.others["lost reconcile"])
    assert outcomes(lost) == [("accepted", None)]
    kinds = [entry["kind"] for entry in lost["timeline"]]
    assert kinds[kinds.index("attempt_unknown") + 1] == "sent"
    [message] = await bad_days.in_outbox(lost["id"])
    assert only_delivery(lost)["attempts"][0]["provider_message_id"] == message["id"]


async def test_reconcile_takes_up_again_what_is_proved_absent(bad_days: BadDays) -> None:
    hang = await bad_days.shop.finished(bad_days.others["hang reconcile"])
    assert hang["status"] == "FAILED"
    assert hang["failure_reason"] == "email: gave_up: proved_absent"
    assert outcomes(hang) == [("error", "proved_absent")]
    assert [entry["kind"] for entry in hang["timeline"]][-3:-1] == ["attempt_unknown", "attempt_not_accepted"]
    assert await bad_days.in_outbox(hang["id"]) == []


async def test_at_least_once_a_lost_answer_is_resent(bad_days: BadDays) -> None:
    shown = await bad_days.shop.until(bad_days.others["lost at_least_once"], "DELIVERED")
    assert outcomes(shown) == [("unknown", "connection_reset"), ("accepted", None)]
    assert len(await bad_days.in_outbox(shown["id"])) == 2
    assert "IN_DOUBT" not in [entry["status"] for entry in shown["timeline"]]


async def test_one_device_in_doubt_outweighs_one_that_refused(shop: Shop) -> None:
    """The next step might tell the person twice."""
    await shop.type("code", ["push"], ["email"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada@example.com")
    await shop.device("ada", "old", "token-refuse-1")
    await shop.device("ada", "phone", "token-lost-1")
    shown = await shop.finished(await shop.send("code"))
    assert (shown["status"], [d["channel"] for d in shown["deliveries"]]) == ("IN_DOUBT", ["push"])
    assert len(await shop.outbox()) == 1


async def test_one_channel_in_doubt_outweighs_one_that_failed(shop: Shop) -> None:
    await shop.type("code", ["email", "sms"], ["push"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+lost@example.com", phone="+15550000001")
    await shop.device("ada", "phone", "token-1")
    shown = await shop.finished(await shop.send("code"))
    said = {d["channel"]: d["status"] for d in shown["deliveries"]}
    assert (shown["status"], said) == ("IN_DOUBT", {"email": "IN_DOUBT", "sms": "FAILED"})


async def test_a_channel_that_arrived_outweighs_one_in_doubt(shop: Shop) -> None:
    await shop.type("code", ["email", "sms"], ["push"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+lost@example.com", phone="+447700900123")
    await shop.device("ada", "phone", "token-1")
    shown = await shop.ended(await shop.send("code"), "DELIVERED")
    assert {d["channel"]: d["status"] for d in shown["deliveries"]} == {"email": "IN_DOUBT", "sms": "DELIVERED"}


@everywhere
async def test_at_most_once_a_lost_answer_is_in_doubt_until_the_late_receipt(bad_days: BadDays, place: str) -> None:
    id = bad_days.asked[place, "lost"]
    await bad_days.shop.ended(id, "IN_DOUBT")
    await bad_days.shop.engine.sql(RECEIPTS_DUE, id=id, channel=SANDBOX_CHANNEL)
    shown = await bad_days.shop.until(id, "DELIVERED")
    statuses = [entry["status"] for entry in shown["timeline"] if entry["status"]]
    assert statuses == ["PENDING", "IN_DOUBT", "DELIVERED"]
    assert (only_delivery(shown)["status"], shown["failure_reason"]) == ("DELIVERED", None)
    assert outcomes(shown) == [("unknown", "connection_reset")]
    assert len(await bad_days.in_outbox(shown["id"])) == 1


@pytest.fixture
async def unrecordable(shop: Shop) -> AsyncIterator[None]:
    """Postgres refuses every outcome of this tenant's calls, as a bug of ours would make it do."""
    name = f"refuse_{shop.tenant.hex}"
    raising = "BEGIN RAISE check_violation; END"
    of_tenant = f"WHEN (NEW.tenant = '{shop.tenant}' AND NEW.state <> 'submitting')"
    async with shop.engine.parts.database.transaction() as session:
        await session.execute(text(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$"))
        await session.execute(
            text(f"CREATE TRIGGER {name} BEFORE UPDATE ON attempt FOR EACH ROW {of_tenant} EXECUTE FUNCTION {name}()")
        )
    yield
    async with shop.engine.parts.database.transaction() as session:
        await session.execute(text(f"DROP FUNCTION {name} CASCADE"))


async def test_an_outcome_that_can_never_be_recorded_ends_in_doubt(shop: Shop, unrecordable: None) -> None:
    """It went out, no row may say so, and no receipt comes: nobody waits for ever."""
    await shop.type("code", ["email"])
    await shop.person("ada", email="ada+silent@example.com")
    shown = await shop.finished(await shop.send("code"))
    assert (shown["status"], shown["failure_reason"]) == ("IN_DOUBT", "internal")
    [attempt] = only_delivery(shown)["attempts"]
    assert (attempt["outcome"], attempt["reason"]) == (None, None)
    assert len(await shop.outbox()) == 1
