"""Test a 2xx that is not the documented success, as from a proxy: the outcome is unknown."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from providers.outcomes import ProviderAcceptance, UnknownOutcome
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_fcm import fcm_bench
from tests.providers.harness_http import HttpBench
from tests.providers.harness_sendgrid import sendgrid_bench
from tests.providers.harness_twilio import twilio_bench

HTML, EMPTY, OTHER_JSON = b"<html>Welcome to the network</html>", b"", {"ok": True}
BODIES = (HTML, EMPTY, OTHER_JSON)
Opened = Callable[[], AbstractAsyncContextManager[HttpBench]]
BENCHES: dict[str, Opened] = {"sendgrid": sendgrid_bench, "twilio": twilio_bench, "fcm": fcm_bench}
RIGHT = {"sendgrid": 202, "twilio": 201, "fcm": 200}
DOCUMENTED: dict[str, Any] = {"sendgrid": b"", "twilio": {"sid": "SM1"}, "fcm": {"name": "projects/p/messages/1"}}


@pytest.mark.parametrize("name", BENCHES)
async def test_a_success_that_the_vendor_does_not_document_is_unknown(name: str) -> None:
    statuses = {200, 201, 202, 204} - {RIGHT[name]}
    cells = [Reply(status=status, body=body) for status in statuses for body in BODIES]
    cells += [Reply(status=status, body=DOCUMENTED[name]) for status in statuses]
    cells += [] if name == "sendgrid" else [Reply(status=RIGHT[name], body=body) for body in BODIES]
    async with BENCHES[name]() as bench:
        for reply in cells:
            bench.vendor.reply = reply
            with pytest.raises(UnknownOutcome) as caught:
                await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
            assert caught.value.reason == "undocumented_success"


@pytest.mark.parametrize("name", BENCHES)
async def test_the_documented_success_is_accepted_even_with_a_truncated_body(name: str) -> None:
    async with BENCHES[name]() as bench:
        bench.vendor.reply = Reply(status=RIGHT[name], body=DOCUMENTED[name])
        assert isinstance(await bench.provider.send(bench.message_in_mode(VendorMode.GOOD)), ProviderAcceptance)
        bench.vendor.reply = Reply(status=RIGHT[name], body=b"{", missing=100)
        assert isinstance(await bench.provider.send(bench.message_in_mode(VendorMode.GOOD)), ProviderAcceptance)
