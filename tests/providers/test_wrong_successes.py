"""Test a 2xx that is not the documented success, as from a proxy: the outcome is unknown."""

import pytest

from domain.evidence import CallResult
from providers.outcomes import ProviderAcceptance, UnknownOutcome
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness import ContractCase
from tests.providers.harnesses import HTTP_HARNESSES

HTML, EMPTY, OTHER_JSON = b"<html>Welcome to the network</html>", b"", {"ok": True}
BODIES = (HTML, EMPTY, OTHER_JSON)
SUCCESSES = {name: harness.success for name, harness in HTTP_HARNESSES.items() if harness.success}


@pytest.mark.parametrize("name", SUCCESSES)
async def test_a_success_that_the_vendor_does_not_document_is_unknown(name: str) -> None:
    harness, success = HTTP_HARNESSES[name], SUCCESSES[name]
    statuses = {200, 201, 202, 204} - {success.status} - harness.also_accepted
    cells = [Reply(status=status, body=body) for status in statuses for body in (*BODIES, success.body)]
    if harness.after_error[ContractCase.MALFORMS] is CallResult.UNKNOWN:
        cells += [Reply(status=success.status, body=body) for body in BODIES]
    async with harness.bench() as bench:
        for reply in cells:
            bench.vendor.reply = reply
            with pytest.raises(UnknownOutcome) as caught:
                await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
            assert caught.value.reason == "undocumented_success"


@pytest.mark.parametrize("name", SUCCESSES)
async def test_the_documented_success_is_accepted_even_with_a_truncated_body(name: str) -> None:
    async with HTTP_HARNESSES[name].bench() as bench:
        bench.vendor.reply = SUCCESSES[name]
        assert isinstance(await bench.provider.send(bench.message_in_mode(VendorMode.GOOD)), ProviderAcceptance)
        bench.vendor.reply = Reply(status=SUCCESSES[name].status, body=b"{", missing=100)
        assert isinstance(await bench.provider.send(bench.message_in_mode(VendorMode.GOOD)), ProviderAcceptance)
