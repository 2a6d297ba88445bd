"""Test the lookup of messages at Twilio: what may match a call, and what proves nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.outcomes import (
    ProviderAcceptance,
    TemporaryError,
)
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.twilio import record
from tests.providers.harness_twilio import TwilioBench

NOW = datetime.now(UTC)


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with TwilioBench.running() as bench:
        yield bench


async def listed(bench: TwilioBench, body: str | None, at: datetime = NOW, to: str = "") -> list[str | None]:
    """Return the ids found for a message sent at `NOW`, if the vendor has only this record."""
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.messages.append(record(to or message.address["phone"], body or "", at) | {"body": body})
    return [accepted.message_id for accepted in await bench.provider.look_up(message, NOW)]


@pytest.mark.parametrize(
    "body",
    [
        "Grüße & more",
        "Sent from your Twilio trial account - Grüße & more",
        "Gru\u0308ße & more",
        "Grüße & more ",
        "Grüße \uff06 more",
        "",
        None,
    ],
    ids=["as it was", "of a trial", "in another form", "with a blank", "with another sign", "redacted", "without one"],
)
async def test_a_text_changed_by_the_vendor_may_match_the_call(bench: TwilioBench, body: str | None) -> None:
    assert len(await listed(bench, body)) == 1


@pytest.mark.parametrize("body", ["Grüße", "More Grüße & more", "Your code is 123456"])
async def test_a_different_text_to_the_same_number_does_not_match(bench: TwilioBench, body: str) -> None:
    assert await listed(bench, body) == []


@pytest.mark.parametrize(("seconds", "times"), [(-3600, 0), (-61, 0), (-30, 1), (0, 1), (90, 1)])
async def test_the_same_text_from_an_earlier_time_does_not_match(bench: TwilioBench, seconds: int, times: int) -> None:
    assert len(await listed(bench, "Grüße & more", NOW + timedelta(seconds=seconds))) == times


async def test_a_list_with_messages_of_others_is_no_proof(bench: TwilioBench) -> None:
    """In case the vendor ignores the filter."""
    message = bench.message_in_mode(VendorMode.GOOD)
    listed = [record("+447700900999", message.content["text"], NOW)]
    bench.vendor.lookup_override = Reply(status=200, body={"messages": listed, "next_page_uri": None})
    assert await bench.provider.look_up(message, NOW) == []


async def test_found_messages_are_listed_oldest_first_with_status_and_price(bench: TwilioBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    for seconds, price in ((40, None), (5, "-0.00750")):
        at = NOW + timedelta(seconds=seconds)
        bench.vendor.messages.append(record(message.address["phone"], "Grüße & more", at) | {"price": price})
    later, earlier = bench.vendor.messages
    response = {"status": 200, "message_status": "queued", "price_unit": "USD"}
    assert await bench.provider.look_up(message, NOW) == [
        ProviderAcceptance(message_id=earlier["sid"], response=response, cost="0.00750"),
        ProviderAcceptance(message_id=later["sid"], response=response),
    ]


@pytest.mark.parametrize(("older", "complete"), [(0, False), (1, True)])
async def test_a_page_that_does_not_reach_back_far_enough_proves_nothing(
    bench: TwilioBench, older: int, complete: bool
) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    ages = [timedelta(hours=1)] * (older + 1) + [timedelta()] * (100 - older)
    bench.vendor.messages = [record(message.address["phone"], "Hi", NOW - age) for age in ages]
    if complete:
        assert await bench.provider.look_up(message, NOW) == []
        return
    with pytest.raises(TemporaryError, match="too_many_messages"):
        await bench.provider.look_up(message, NOW)


@pytest.mark.parametrize("change", [{"date_created": None}, {"date_created": "yesterday"}, {"sid": None}, {"sid": ""}])
async def test_a_record_that_is_none_proves_nothing(bench: TwilioBench, change: dict[str, Any]) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.messages.append(record(message.address["phone"], "Grüße & more", NOW) | change)
    with pytest.raises(TemporaryError, match="malformed_response"):
        await bench.provider.look_up(message, NOW)
