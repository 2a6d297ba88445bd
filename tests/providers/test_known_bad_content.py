"""Test that content which a vendor refuses on every call is refused without a call."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.outcomes import ProviderRefusal
from providers.smtp.adapter import Smtp
from testing.vendors.modes import VendorMode
from testing.vendors.smtp import MailServer
from tests.providers.harness_smtp import to
from tests.providers.harness_twilio import TwilioBench
from tests.providers.harnesses import HTTP_HARNESSES

MAIL = {"subject": "Hi", "text": "Text", "html": "<p>Text</p>"}
REFUSED_WITHOUT_CALL = [
    (name, changed, reason)
    for name, harness in HTTP_HARNESSES.items()
    for changed, reason in (
        *(({"content": content}, reason) for content, reason in harness.bad_content),
        *(({"address": address}, reason) for address, reason in harness.bad_addresses),
    )
]


@pytest.mark.parametrize(("name", "changed", "reason"), REFUSED_WITHOUT_CALL)
async def test_a_known_bad_message_is_refused_without_a_call(name: str, changed: dict[str, Any], reason: str) -> None:
    async with HTTP_HARNESSES[name].bench() as bench:
        result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), **changed))
        assert result == ProviderRefusal(reason=reason)
        assert bench.vendor.log.requests == []


async def test_an_empty_mail_opens_no_connection() -> None:
    async with MailServer().running() as server:
        result = await Smtp(server.settings()).send(replace(to(), content=MAIL | {"subject": ""}))
        assert (result, server.connections) == (ProviderRefusal(reason="empty_subject"), 0)


@pytest.mark.parametrize(("left", "least", "most"), [(3_600, 3_000, 3_600), (-5, 1, 1), (90_000, 36_000, 36_000)])
async def test_twilio_keeps_a_message_until_it_expires(left: int, least: int, most: int) -> None:
    async with TwilioBench.running() as bench:
        expires_at = datetime.now(UTC) + timedelta(seconds=left)
        await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), expires_at=expires_at))
        [request] = bench.vendor.log.requests
    assert least <= int(request.form["ValidityPeriod"]) <= most
