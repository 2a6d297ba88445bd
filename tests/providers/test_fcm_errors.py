"""Test what each error of FCM proves, and which removes a device."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from providers.outcomes import (
    PermanentError,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_fcm import STATUS, FcmBench, sample


@pytest.fixture
async def bench() -> AsyncIterator[FcmBench]:
    async with FcmBench.running() as bench:
        yield bench


@pytest.mark.parametrize(
    ("name", "status", "reason", "gone"),
    [
        ("unregistered", 404, "unregistered", True),
        ("invalid_token", 400, "invalid_token", True),
        ("invalid_argument", 400, "bad_request", False),
        ("invalid_without_field", 400, "bad_request", False),
    ],
)
async def test_a_device_is_deleted_only_if_the_vendor_reports_a_dead_token(
    bench: FcmBench, name: str, status: int, reason: str, gone: bool
) -> None:
    bench.vendor.reply = Reply(status=status, body=sample(name))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == (reason, gone)


NO_WORDS: list[Any] = [b"", b"<html>", {"error": 7}, {"error": {"details": [7, {"fieldViolations": [7]}]}}]


@pytest.mark.parametrize("body", NO_WORDS)
async def test_a_400_without_a_code_keeps_the_device(bench: FcmBench, body: Any) -> None:
    bench.vendor.reply = Reply(status=400, body=body)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == ("bad_request", False)


async def test_a_token_of_another_project_is_refused_and_keeps_the_device(bench: FcmBench) -> None:
    bench.vendor.reply = Reply(status=STATUS["sender_mismatch"], body=sample("sender_mismatch"))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == ("sender_mismatch", False)


@pytest.mark.parametrize("body", NO_WORDS)
async def test_a_404_without_a_code_is_not_about_the_device(bench: FcmBench, body: Any) -> None:
    bench.vendor.reply = Reply(status=404, body=body)
    with pytest.raises(PermanentError, match="unexpected_answer"):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("unauthenticated", PermanentError, "credentials_refused"),
        ("quota_exceeded", TemporaryError, "throttled"),
        ("unavailable", TemporaryError, "unavailable"),
        ("internal", UnknownOutcome, "server_error"),
    ],
)
async def test_every_other_status_word_proves_a_result(
    bench: FcmBench, name: str, kind: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = Reply(status=STATUS[name], body=sample(name))
    with pytest.raises(kind) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.reason == reason


async def test_a_503_of_another_server_proves_nothing(bench: FcmBench) -> None:
    bench.vendor.reply = Reply(status=503, body=b"<html>")
    with pytest.raises(UnknownOutcome):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("name", "headers", "delay"),
    [
        ("quota_exceeded", {}, 60),
        ("quota_exceeded", {"Retry-After": "7"}, 7),
        ("unavailable", {"Retry-After": "7"}, 7),
        ("unavailable", {}, None),
    ],
)
async def test_a_delay_is_the_vendors_or_the_documented_one(
    bench: FcmBench, name: str, headers: dict[str, str], delay: float | None
) -> None:
    bench.vendor.reply = Reply(status=STATUS[name], body=sample(name), headers=headers)
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after == delay
