"""Test what each error of Resend proves, also for a repeated request."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from domain.evidence import CallResult
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from services.provider_calls import send_once as send
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.resend import error
from tests.providers.harness_resend import ALL_OPTIONS, ResendBench, sample, sent


@pytest.fixture
async def bench() -> AsyncIterator[ResendBench]:
    async with ResendBench.running() as bench:
        yield bench


# What each error of payloads/resend/errors.json proves, in the same order.
R = CallResult
EXPECTED_ERRORS = [
    (R.REFUSED, "bad_request"),
    (R.REFUSED, "bad_request"),
    *[(R.PERMANENT, "credentials_refused")] * 7,
    (R.PERMANENT, "account_suspended"),
    (R.PERMANENT, "sender_refused"),
    (R.PERMANENT, "sender_refused"),
    (R.PERMANENT, "unexpected_answer"),
    (R.PERMANENT, "unexpected_answer"),
    (R.UNKNOWN, "repeat_in_progress"),
    (R.UNKNOWN, "repeat_refused"),
    (R.REFUSED, "invalid_address"),
    (R.PERMANENT, "sender_refused"),
    (R.REFUSED, "bad_request"),
    (R.PERMANENT, "sender_refused"),
    (R.REFUSED, "bad_request"),
    (R.REFUSED, "bad_request"),
    (R.PERMANENT, "quota_exceeded"),
    (R.PERMANENT, "quota_exceeded"),
    (R.NOT_ACCEPTED, "throttled"),
    (R.REFUSED, "content_refused"),
    (R.UNKNOWN, "server_error"),
    (R.NOT_ACCEPTED, "unavailable"),
]


@pytest.mark.parametrize(
    ("body", "result", "reason"),
    [(body, *expected) for body, expected in zip(sample("errors"), EXPECTED_ERRORS, strict=True)],
    ids=lambda value: f"{value['statusCode']} {value['name']}" if isinstance(value, dict) else None,
)
async def test_each_documented_error_proves_a_result(
    bench: ResendBench, body: dict[str, Any], result: CallResult, reason: str
) -> None:
    bench.vendor.reply = Reply(status=body["statusCode"], body=body)
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert (outcome.result, outcome.reason) == (result, reason)
    assert body["message"] not in repr(outcome.response)


@pytest.mark.parametrize(
    ("reply", "result", "reason"),
    [
        (Reply(status=413), R.REFUSED, "too_large"),
        (Reply(status=422, body=b"\xff"), R.PERMANENT, "unexpected_answer"),
        (error(422, "new_error", "New"), R.PERMANENT, "unexpected_answer"),
        (error(409, "resource_locked", "Locked"), R.PERMANENT, "unexpected_answer"),
        (Reply(status=503, body=b"<html>"), R.UNKNOWN, "server_error"),
        (Reply(status=403, body=[]), R.PERMANENT, "credentials_refused"),
    ],
)
async def test_an_undocumented_error_proves_what_its_status_does(
    bench: ResendBench, reply: Reply, result: CallResult, reason: str
) -> None:
    bench.vendor.reply = reply
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert (outcome.result, outcome.reason) == (result, reason)


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after": "7", "ratelimit-reset": "3"}, 7.0),
        ({"ratelimit-reset": "3"}, 3.0),
        ({"ratelimit-reset": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("name", ["rate_limit_exceeded", "concurrent_idempotent_requests"])
async def test_a_throttled_or_concurrent_request_states_the_delay(
    bench: ResendBench, name: str, headers: Mapping[str, str], delay: float | None
) -> None:
    is_throttled = name == "rate_limit_exceeded"
    reply = error(429 if is_throttled else 409, name, "Later")
    bench.vendor.reply = replace(reply, headers=headers)
    with pytest.raises(TemporaryError if is_throttled else UnknownOutcome) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after == delay


async def test_a_repeated_request_has_the_same_bytes_and_sends_nothing(bench: ResendBench) -> None:
    """The time passes between them, and the adapter is that of another process."""
    message = replace(bench.message_in_mode(VendorMode.LOSES), email=ALL_OPTIONS, tags=("orders", "b"))
    with pytest.raises(UnknownOutcome):
        await bench.provider.send(message)
    bench.vendor.mode_of = None
    again = await bench.adapter().send(replace(message))
    first, second = bench.vendor.log.requests
    assert isinstance(again, ProviderAcceptance)
    assert (first.body, bench.vendor.log.kept[str(message.attempt_id)]) == (second.body, 1)


async def test_a_changed_request_with_the_same_key_is_unknown(bench: ResendBench) -> None:
    message, _ = await sent(bench)
    with pytest.raises(UnknownOutcome, match="repeat_refused"):
        await bench.provider.send(replace(message, address={"email": "b+good@example.com"}))
    assert bench.vendor.log.kept[str(message.attempt_id)] == 1


async def test_a_refusal_is_not_repeated_as_another_email(bench: ResendBench) -> None:
    """A refused request does not use up its key."""
    message = bench.message_in_mode(VendorMode.REFUSES)
    assert isinstance(await bench.provider.send(message), ProviderRefusal)
    bench.vendor.mode_of = None
    assert isinstance(await bench.provider.send(message), ProviderAcceptance)
