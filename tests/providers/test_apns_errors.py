"""Test what each error of APNs proves, which removes a device, and which replaces the provider token."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.evidence import CallResult
from providers.apns.reasons import REASONS
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from services.provider_calls import send_once as send
from testing.vendors.apns import error
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_apns import ApnsBench, sample


@pytest.fixture
async def bench() -> AsyncIterator[ApnsBench]:
    async with ApnsBench.running() as bench:
        yield bench


@pytest.mark.parametrize(
    ("status", "body", "reason", "gone_since"),
    [
        (410, sample("unregistered"), "unregistered", datetime(2026, 2, 16, 9, 36, 7, 890_000, tzinfo=UTC)),
        (
            410,
            {"reason": "ExpiredToken", "timestamp": 1},
            "unregistered",
            datetime(1970, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC),
        ),
        (410, {"reason": "Unregistered"}, "unregistered", None),
        (410, {"reason": "Unregistered", "timestamp": "1771234567890"}, "unregistered", None),
        (410, {"reason": "Unregistered", "timestamp": 10**30}, "unregistered", None),
        (400, sample("bad_device_token"), "invalid_token", None),
        (400, {"reason": "BadDeviceToken", "timestamp": 1771234567890}, "invalid_token", None),
        (400, {"reason": "DeviceTokenNotForTopic"}, "sender_mismatch", None),
        (413, {"reason": "PayloadTooLarge"}, "too_large", None),
    ],
)
async def test_a_device_is_removed_only_if_apns_names_the_time_since_when_it_is_inactive(
    bench: ApnsBench, status: int, body: Any, reason: str, gone_since: datetime | None
) -> None:
    bench.vendor.reply = Reply(status=status, body=body)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone, result.gone_since) == (reason, gone_since is not None, gone_since)


@pytest.mark.parametrize(
    ("status", "reason", "result", "code"),
    [
        (403, "InvalidProviderToken", CallResult.PERMANENT, "credentials_refused"),
        (403, "MissingProviderToken", CallResult.PERMANENT, "credentials_refused"),
        (403, "", CallResult.PERMANENT, "credentials_refused"),
        (400, "TopicDisallowed", CallResult.PERMANENT, "sender_refused"),
        (400, "BadTopic", CallResult.PERMANENT, "sender_refused"),
        (400, "NewReason", CallResult.PERMANENT, "unexpected_answer"),
        (404, "BadPath", CallResult.PERMANENT, "unexpected_answer"),
        (410, "NewReason", CallResult.PERMANENT, "unexpected_answer"),
        (429, "TooManyRequests", CallResult.NOT_ACCEPTED, "device_throttled"),
        (429, "TooManyProviderTokenUpdates", CallResult.NOT_ACCEPTED, "throttled"),
        (429, "", CallResult.NOT_ACCEPTED, "throttled"),
        (503, "ServiceUnavailable", CallResult.NOT_ACCEPTED, "unavailable"),
        (503, "Shutdown", CallResult.NOT_ACCEPTED, "unavailable"),
        (503, "", CallResult.UNKNOWN, "server_error"),
        (500, "InternalServerError", CallResult.UNKNOWN, "server_error"),
        (500, "BadDeviceToken", CallResult.UNKNOWN, "server_error"),
        (500, "Shutdown", CallResult.UNKNOWN, "server_error"),
    ],
)
async def test_an_error_is_classified_by_its_reason(
    bench: ApnsBench, status: int, reason: str, result: CallResult, code: str
) -> None:
    bench.vendor.reply = error(status, reason)
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert (outcome.result, outcome.reason, outcome.is_gone) == (result, code, False)


def test_errors_of_credentials_are_not_about_the_device() -> None:
    codes = {
        REASONS[reason] for reason in REASONS if "Provider" in reason or "Certificate" in reason or "KeyId" in reason
    }
    assert codes == {"credentials_refused", "token_expired", "throttled"}


@pytest.mark.parametrize("body", [b"", b"<html>", [], {"reason": 7}, {"reason": None}])
async def test_a_400_without_a_reason_keeps_the_device(bench: ApnsBench, body: Any) -> None:
    bench.vendor.reply = Reply(status=400, body=body)
    with pytest.raises(PermanentError, match="unexpected_answer"):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


async def test_a_throttled_device_waits_as_long_as_requested(bench: ApnsBench) -> None:
    for headers, delay in (({}, 60.0), ({"Retry-After": "7"}, 7.0)):
        bench.vendor.reply = replace(error(429, "TooManyRequests"), headers=headers)
        with pytest.raises(TemporaryError) as caught:
            await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
        assert caught.value.retry_after == delay


async def test_an_expired_provider_token_is_replaced_for_the_next_call(bench: ApnsBench) -> None:
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    bench.vendor.expired.add(bench.vendor.tokens[0])
    with pytest.raises(TemporaryError, match=r"^token_expired$") as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after is None
    assert isinstance(await bench.provider.send(bench.message_in_mode(VendorMode.GOOD)), ProviderAcceptance)
    assert len(bench.vendor.tokens) == 2


async def test_a_replaced_provider_token_that_is_refused_too_is_an_account_error(bench: ApnsBench) -> None:
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    bench.vendor.expired.add(bench.vendor.tokens[0])
    await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    bench.vendor.mode = VendorMode.GOOD
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    bench.vendor.expired.add(bench.vendor.tokens[1])
    for _ in range(2):
        with pytest.raises(PermanentError, match=r"^credentials_refused$"):
            await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 2


async def test_concurrent_calls_with_an_expired_token_sign_one_new_token(bench: ApnsBench) -> None:
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    bench.vendor.expired.add(bench.vendor.tokens[0])
    messages = [bench.message_in_mode(VendorMode.GOOD) for _ in range(20)]
    results = {(await outcome).reason for outcome in asyncio.as_completed([send(bench.provider, m) for m in messages])}
    assert results <= {"token_expired", None}
    assert "token_expired" in results
    assert len(bench.vendor.tokens) <= 2
    assert (await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))).result is CallResult.ACCEPTED
