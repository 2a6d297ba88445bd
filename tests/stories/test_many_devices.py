"""A person with hundreds of devices: the ones that were registered last are used, a few at a time, and nobody waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from domain.stored_limits import DEVICES_USED, ENDPOINTS_AT_ONCE
from metrics.engine import Limit
from metrics.registry import REGISTRY
from tests.engine import Shop
from tests.polling import holds
from tests.storage.device_rows import REGISTER, device_rows

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

LIMITS = (Limit.DEVICES_USED, Limit.ENDPOINT_CALLS)
STORED = 900  # more than the API allows


async def register(shop: Shop, tokens: Sequence[str]) -> None:
    """The first token is that of the device that was registered last."""
    rows = device_rows(shop.engine.parts.database.encryption, shop.tenant, "crowd", tokens)
    await shop.engine.sql(REGISTER.format(rows=":rows"), rows=rows)


async def seconds_until_sent(shop: Shop) -> float:
    """Of one message of the highest priority to somebody else."""
    shown = await shop.finished(await shop.send("code", "bob", priority=1))
    [delivery] = shown["deliveries"]
    return (at(delivery["sent_at"]) - at(shown["created_at"])).total_seconds()


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def reached(limit: Limit) -> float:
    """How often, in this process."""
    return float(REGISTRY.get_sample_value("tocsin_limits_reached_total", {"limit": limit.value}) or 0)


def most_at_once(attempts: Sequence[dict[str, Any]]) -> int:
    return max(
        sum(at(other["started_at"]) <= at(one["started_at"]) < at(other["finished_at"]) for other in attempts)
        for one in attempts
    )


async def test_hundreds_of_devices_of_one_person_delay_nobody_and_the_newest_get_the_message(shop: Shop) -> None:
    await shop.type("news", ["push"])
    await shop.type("code", ["email"])
    await shop.person("bob", email="bob@example.com")
    await shop.person("crowd")
    await register(shop, [f"token-{n}" for n in range(1, STORED + 1)])
    idle = max([await seconds_until_sent(shop) for _ in range(3)])
    counts = [reached(limit) for limit in LIMITS]
    id = await shop.send("news", "crowd")
    beside = [await seconds_until_sent(shop) for _ in range(3)]
    assert max(beside) <= max(3 * idle, 2)
    shown = await shop.finished(id)
    [delivery] = shown["deliveries"]
    assert {attempt["outcome"] for attempt in delivery["attempts"]} == {"accepted"}
    tokens = {message["address"]["token"] for message in await shop.outbox(recipient_id="crowd")}
    assert tokens == {f"token-{n}" for n in range(1, DEVICES_USED + 1)}
    assert most_at_once(delivery["attempts"]) <= ENDPOINTS_AT_ONCE
    [told] = [entry for entry in shown["timeline"] if entry["kind"] == "devices_skipped"]
    assert (told["channel"], told["reason"]) == ("push", "too_many_devices")
    assert told["detail"] == {"used": DEVICES_USED, "skipped": STORED - DEVICES_USED}
    [limited] = [entry for entry in shown["timeline"] if entry["kind"] == "calls_limited"]
    assert limited["detail"] == {"devices": DEVICES_USED, "at_once": ENDPOINTS_AT_ONCE}
    explained = await shop.ok("GET", f"/notifications/{id}/explain")
    assert f"at most {ENDPOINTS_AT_ONCE} at a time" in str(explained)
    assert [reached(limit) - before for limit, before in zip(LIMITS, counts, strict=True)] == [1, 1]


async def test_one_device_that_accepts_is_enough_and_an_email_does_not_wait_for_the_others(shop: Shop) -> None:
    """Most devices stand in a back-off; the connections that their calls took are free again."""
    await shop.type("news", ["push", "email"], give_up_after="2s")
    await shop.person("crowd", email="crowd@example.com")
    await register(shop, [f"token-error-{n}" for n in range(1, 100)])
    await shop.device("crowd", "phone", "token-good")
    id = await shop.send("news", "crowd")
    shown = await shop.finished(id)
    assert {delivery["channel"]: delivery["status"] for delivery in shown["deliveries"]}.keys() == {"push", "email"}
    [push] = [delivery for delivery in shown["deliveries"] if delivery["channel"] == "push"]
    accepted = [attempt for attempt in push["attempts"] if attempt["outcome"] == "accepted"]
    assert push["status"] in ("SENT", "DELIVERED", "OPENED")
    assert len(accepted) == 1
    assert len({attempt["endpoint_id"] for attempt in push["attempts"]}) == DEVICES_USED
    database = shop.engine.parts.database
    await holds(lambda: database.connections_in_use <= database.connections_max // 4)
