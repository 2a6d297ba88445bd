"""Test the fault modes of HTTP vendors, and what each proves, for every such adapter."""

from collections.abc import AsyncIterator

import pytest

from domain.evidence import CallResult
from services.provider_calls import send_once as send
from testing.vendors.modes import RETRY_AFTER_MODES, VendorMode
from tests.providers.harness import ContractCase
from tests.providers.harness_http import HttpBench, mode_of
from tests.providers.harnesses import HTTP_HARNESSES

# They call the recipient's own address.
CALLING_RECIPIENTS = {"web_push", "webhook"}
PROVED_RESULTS = {
    VendorMode.GOOD: CallResult.ACCEPTED,
    VendorMode.FLOODS: CallResult.ACCEPTED,
    VendorMode.RESETS: CallResult.UNKNOWN,
    VendorMode.LOSES: CallResult.UNKNOWN,
    VendorMode.HANGS: CallResult.UNKNOWN,
    VendorMode.DRIPS: CallResult.UNKNOWN,
    VendorMode.REFUSES: CallResult.REFUSED,
    VendorMode.THROTTLES: CallResult.NOT_ACCEPTED,
    VendorMode.BREAKS: CallResult.PERMANENT,
    **dict.fromkeys(RETRY_AFTER_MODES, CallResult.NOT_ACCEPTED),
}
# The harness states what these prove.
ERRORS = {
    VendorMode.GARBLES: ContractCase.MALFORMS,
    VendorMode.FAILS: ContractCase.ERRS,
    VendorMode.ACCEPTS_AND_FAILS: ContractCase.ERRS,
    VendorMode.REDIRECTS: ContractCase.REDIRECTS,
}
ACCEPTING_MODES = (
    *(VendorMode.GOOD, VendorMode.GARBLES, VendorMode.FLOODS),
    *(VendorMode.LOSES, VendorMode.DRIPS, VendorMode.ACCEPTS_AND_FAILS),
)


def proved_result(name: str, mode: VendorMode) -> CallResult:
    """Return what the mode proves. A refusal by a vendor that documents none is an undocumented error. Refused
    credentials that are part of the recipient's address concern that recipient only."""
    harness = HTTP_HARNESSES[name]
    if mode is VendorMode.REFUSES and ContractCase.REFUSES in harness.without:
        return CallResult.PERMANENT
    if mode is VendorMode.BREAKS and ContractCase.BREAKS in harness.without:
        return CallResult.REFUSED
    return harness.after_error[ERRORS[mode]] if mode in ERRORS else PROVED_RESULTS[mode]


@pytest.fixture(params=HTTP_HARNESSES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[HttpBench]:
    async with HTTP_HARNESSES[request.param].bench() as bench:
        yield bench


@pytest.mark.parametrize("mode", [*PROVED_RESULTS, *ERRORS])
async def test_each_attempt_makes_one_request_in_every_vendor_mode(
    bench: HttpBench, mode: VendorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Send once like `deliver`, with a short deadline where the vendor does not respond."""
    monkeypatch.setattr(type(bench.provider), "deadline", 1.0 if mode in (VendorMode.HANGS, VendorMode.DRIPS) else 60.0)
    message = bench.message_in_mode(mode)
    outcome = await send(bench.provider, message)
    assert outcome.result is proved_result(bench.provider.name, mode)
    assert len(bench.vendor.log.requests) == 1
    assert await bench.kept(message) == (mode in ACCEPTING_MODES)


@pytest.mark.parametrize("bench", sorted(set(HTTP_HARNESSES) - CALLING_RECIPIENTS), indirect=True)
async def test_a_refused_connection_proves_not_sent(bench: HttpBench) -> None:
    outcome = await send(bench.unreachable(), bench.message_in_mode(VendorMode.GOOD))
    assert outcome.result is CallResult.NOT_ACCEPTED
    assert bench.vendor.log.requests == []


def test_a_number_without_its_plus_is_named_in_the_error() -> None:
    assert mode_of("+447700900012") is VendorMode.GOOD
    with pytest.raises(LookupError, match="does a phone number lack its"):
        mode_of("447700900012")
