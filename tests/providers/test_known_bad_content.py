"""Test that content which a vendor refuses on every call is refused without a call."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from providers.outcomes import ProviderRefusal
from providers.smtp.adapter import Smtp
from providers.twilio.adapter import build_validity_period
from testing.vendors.modes import VendorMode
from testing.vendors.smtp import MailServer
from tests.providers.harness_http import HttpBench
from tests.providers.harness_sendgrid import sendgrid_bench
from tests.providers.harness_smtp import to
from tests.providers.harness_twilio import twilio_bench

MAIL = {"subject": "Hi", "text": "Text", "html": "<p>Text</p>"}
Opened = Callable[[], AbstractAsyncContextManager[HttpBench]]


@pytest.mark.parametrize(
    ("opened", "content", "reason"),
    [
        (sendgrid_bench, MAIL | {"subject": " "}, "empty_subject"),
        (sendgrid_bench, MAIL | {"text": "", "html": " "}, "empty_message"),
        (twilio_bench, {"text": " \n"}, "empty_message"),
        (twilio_bench, {"text": "a" * 1_601}, "too_long"),
    ],
)
async def test_known_bad_content_is_refused_without_a_call(
    opened: Opened, content: dict[str, str], reason: str
) -> None:
    async with opened() as bench:
        result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), content=content))
        assert result == ProviderRefusal(reason=reason)
        assert bench.vendor.log.requests == []


@pytest.mark.parametrize(
    ("opened", "address", "reason"),
    [
        (sendgrid_bench, {"email": "pepé@example.com"}, "international_address_not_supported"),
        (twilio_bench, {"phone": "4917012345678"}, "invalid_address"),
        (twilio_bench, {"phone": "+49 170 12345678"}, "invalid_address"),
        (twilio_bench, {"phone": "+1234567890123456"}, "invalid_address"),
    ],
)
async def test_an_address_that_the_vendor_cannot_take_is_refused_without_a_call(
    opened: Opened, address: dict[str, str], reason: str
) -> None:
    async with opened() as bench:
        result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), address=address))
        assert result == ProviderRefusal(reason=reason)
        assert bench.vendor.log.requests == []


async def test_an_empty_mail_opens_no_connection() -> None:
    async with MailServer().running() as server:
        result = await Smtp(server.settings()).send(replace(to(), content=MAIL | {"subject": ""}))
        assert (result, server.connections) == (ProviderRefusal(reason="empty_subject"), 0)


@pytest.mark.parametrize(("left", "least", "most"), [(3_600, 3_000, 3_600), (-5, 1, 1), (90_000, 36_000, 36_000)])
async def test_twilio_keeps_a_message_until_it_expires(left: int, least: int, most: int) -> None:
    async with twilio_bench() as bench:
        message = replace(
            bench.message_in_mode(VendorMode.GOOD), expires_at=datetime.now(UTC) + timedelta(seconds=left)
        )
    assert least <= int(build_validity_period(message)["ValidityPeriod"]) <= most
