"""Test the meaning of a push service's responses, and which ends a subscription."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from providers.outcomes import PermanentError, ProviderAcceptance, ProviderError, ProviderRefusal, TemporaryError
from providers.web_push.vapid import new_private_key
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_web_push import WebPushBench


@pytest.fixture
async def bench() -> AsyncIterator[WebPushBench]:
    async with WebPushBench.running() as bench:
        yield bench


@pytest.mark.parametrize("status", [201, 202])
async def test_an_acceptance_names_the_last_part_of_the_location(bench: WebPushBench, status: int) -> None:
    """The whole URL suffices to delete the message."""
    bench.vendor.reply = Reply(status=status, headers={"location": "https://push.example.com/m/gAAAA-1"})
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderAcceptance)
    assert (result.message_id, result.response) == ("gAAAA-1", {"status": status})


@pytest.mark.parametrize(
    ("status", "reason", "is_gone"),
    [(404, "unregistered", True), (410, "unregistered", True), (413, "too_large", False), (400, "bad_request", False)],
)
async def test_only_404_and_410_end_a_subscription(
    bench: WebPushBench, status: int, reason: str, is_gone: bool
) -> None:
    bench.vendor.reply = Reply(status=status)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == (reason, is_gone)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401),
        Reply(status=403, body={"reason": "BadJwtToken"}),
        Reply(status=400, body=b"UnauthorizedRegistration"),
        Reply(status=400, body={"reason": "VapidPkHashMismatch"}),
    ],
)
async def test_a_refused_key_concerns_one_subscription(bench: WebPushBench, reply: Reply) -> None:
    """Any server can be an endpoint. Its answer must not alert an operator that the account is refused."""
    bench.vendor.reply = reply
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == ("sender_mismatch", False)


@pytest.mark.parametrize("status", [402, 418])
async def test_an_undocumented_refusal_is_an_error(bench: WebPushBench, status: int) -> None:
    bench.vendor.reply = Reply(status=status)
    with pytest.raises(PermanentError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert (caught.value.reason, caught.value.is_gone) == ("unexpected_answer", False)


async def test_another_key_than_the_subscriptions_is_refused(bench: WebPushBench) -> None:
    provider = bench.adapter(private_key=SecretStr(new_private_key()))
    result = await provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert result.reason == "sender_mismatch"


@pytest.mark.parametrize(("status", "reason"), [(429, "throttled"), (406, "throttled"), (503, "unavailable")])
async def test_a_delay_is_that_of_the_push_service(bench: WebPushBench, status: int, reason: str) -> None:
    bench.vendor.reply = Reply(status=status, headers={"Retry-After": "7"})
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert (caught.value.reason, caught.value.retry_after) == (reason, 7)


async def test_an_outcome_never_quotes_the_endpoint(bench: WebPushBench) -> None:
    for status in (201, 400, 403, 410, 429, 500):
        bench.vendor.reply = Reply(status=status, body=bench.vendor.url.encode())
        message = bench.message_in_mode(VendorMode.GOOD)
        try:
            outcome: object = await bench.provider.send(message)
        except ProviderError as error:
            outcome = (error.reason, error.response)
        assert "/push/" not in repr(outcome)
        assert bench.vendor.url not in repr(outcome)
        assert "/push/" not in repr(message)
