"""Test the fault modes of HTTP vendors, and what each proves, for every such adapter."""

import pytest

from domain.evidence import CallResult
from services.provider_calls import send_once as send
from testing.vendors.modes import RETRY_AFTER_MODES, VendorMode
from tests.providers.harness import ContractCase
from tests.providers.harness_http import HttpBench
from tests.providers.harnesses import HARNESSES

PROVED_RESULTS = {
    VendorMode.GOOD: CallResult.ACCEPTED,
    VendorMode.GARBLES: None,  # the harness states it
    VendorMode.FLOODS: CallResult.ACCEPTED,
    VendorMode.RESETS: CallResult.UNKNOWN,
    VendorMode.LOSES: CallResult.UNKNOWN,
    VendorMode.HANGS: CallResult.UNKNOWN,
    VendorMode.DRIPS: CallResult.UNKNOWN,
    VendorMode.FAILS: CallResult.UNKNOWN,
    VendorMode.REDIRECTS: CallResult.PERMANENT,
    VendorMode.REFUSES: CallResult.REFUSED,
    VendorMode.THROTTLES: CallResult.NOT_ACCEPTED,
    VendorMode.BREAKS: CallResult.PERMANENT,
    VendorMode.ACCEPTS_AND_FAILS: CallResult.UNKNOWN,
    **dict.fromkeys(RETRY_AFTER_MODES, CallResult.NOT_ACCEPTED),
}
ACCEPTING_MODES = (
    *(VendorMode.GOOD, VendorMode.GARBLES, VendorMode.FLOODS),
    *(VendorMode.LOSES, VendorMode.DRIPS, VendorMode.ACCEPTS_AND_FAILS),
)
every_mode = pytest.mark.parametrize("mode", PROVED_RESULTS)


def proved_result(name: str, mode: VendorMode) -> CallResult:
    """Return what the mode proves. A refusal by a vendor that documents none is an undocumented error."""
    harness = HARNESSES[name]
    if mode is VendorMode.REFUSES and ContractCase.REFUSES in harness.without:
        return CallResult.PERMANENT
    return PROVED_RESULTS[mode] or harness.after_error[ContractCase.MALFORMS]


async def check_one_request(bench: HttpBench, mode: VendorMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send once like `deliver`, with a short deadline where the vendor does not respond."""
    monkeypatch.setattr(type(bench.provider), "deadline", 1.0 if mode in (VendorMode.HANGS, VendorMode.DRIPS) else 60.0)
    message = bench.message_in_mode(mode)
    outcome = await send(bench.provider, message)
    assert outcome.result is proved_result(bench.provider.name, mode)
    assert len(bench.vendor.log.requests) == 1
    assert bench.vendor.log.kept[str(message.attempt_id)] == (mode in ACCEPTING_MODES)


async def check_refused_connection(bench: HttpBench) -> None:
    """Send to an address that refuses connections: it proves that nothing was sent."""
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert outcome.result is CallResult.NOT_ACCEPTED
    assert bench.vendor.log.requests == []
