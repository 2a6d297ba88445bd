"""Test every registered provider against the contract of the engine, through the call that `deliver` uses."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from commands.provider_checks import NOTHING_TO_CHECK
from config import Settings
from domain.evidence import CallResult
from providers.base import Provider
from providers.outcomes import TemporaryError
from providers.pools import CALL_OVERHEAD
from providers.registry import PROVIDERS
from services.outcome_translation import unrecorded_result
from services.provider_calls import send_once as send
from storage.database import Database
from tests.providers.contract_cases import for_providers_with, set_deadline
from tests.providers.harness import Bench, ContractCase
from tests.providers.harnesses import HARNESSES, HTTP_HARNESSES

pytestmark = pytest.mark.postgres
# Everything that can happen to a call.
MISHAPS = (
    ContractCase.REFUSES,
    ContractCase.THROTTLES,
    ContractCase.BREAKS,
    ContractCase.HANGS,
    ContractCase.LOSES,
    ContractCase.ERRS,
    ContractCase.REDIRECTS,
    ContractCase.MALFORMS,
    ContractCase.FLOODS,
    ContractCase.DRIPS,
)


@pytest.fixture
async def bench(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Bench]:
    async with HARNESSES[request.param].bench(database) as bench:
        yield bench


def test_every_provider_has_a_harness() -> None:
    assert set(HARNESSES) == set(PROVIDERS)


def test_every_http_provider_has_an_http_harness() -> None:
    """The tests of undocumented successes and of bad content take their vendors from these harnesses."""
    http = {name for name, harness in HARNESSES.items() if ContractCase.REDIRECTS not in harness.without}
    assert set(HTTP_HARNESSES) == http


@pytest.mark.parametrize("name", HTTP_HARNESSES)
def test_a_harness_lists_bad_content_if_the_adapter_refuses_any(name: str) -> None:
    refuses = PROVIDERS[name].content_refusal is not Provider.content_refusal
    assert bool(HTTP_HARNESSES[name].bad_content) is refuses


@pytest.mark.parametrize("name", PROVIDERS)
def test_exemptions_have_a_reason_and_agree_with_the_provider(name: str) -> None:
    without = HARNESSES[name].without
    assert all(reason.strip() for reason in without.values())
    assert ContractCase.ACCEPTS not in without
    assert (ContractCase.REPORTS in without) is not PROVIDERS[name].parses_receipts()
    assert (ContractCase.CHECKS in without) is (PROVIDERS[name].check is Provider.check) is (name in NOTHING_TO_CHECK)
    assert (ContractCase.FINDS in without) is (PROVIDERS[name].lookup == "none")
    if ContractCase.REPORTS in without:
        assert {ContractCase.SIGNS_BODY, ContractCase.SIGNS_TIME} <= set(without)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_declares_its_properties(name: str) -> None:
    provider = PROVIDERS[name]
    assert provider.name == name
    assert provider.channels
    assert provider.lookup in ("definitive", "positive_only", "none")
    # A stopping worker waits for calls in flight and for the writes after them.
    assert 0 < provider.deadline + CALL_OVERHEAD < Settings.model_fields["drain_timeout"].default
    pushes = {kind.channel for kind in provider.device_kinds}
    assert pushes <= provider.channels, "a device kind whose channel it does not serve"


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_declared_lookup_exists_and_states_the_lag_of_records(name: str) -> None:
    provider = PROVIDERS[name]
    declared = provider.lookup != "none"
    assert (provider.look_up is not Provider.look_up) is declared
    assert (provider.settle_window > 0) is declared


@for_providers_with(ContractCase.ACCEPTS)
async def test_an_accepted_message_has_an_id_and_exists_once(bench: Bench) -> None:
    message = await bench.message(ContractCase.ACCEPTS)
    outcome = await send(bench.provider, message)
    assert outcome.result is CallResult.ACCEPTED
    assert outcome.message_id
    assert await bench.kept(message) == 1


@for_providers_with(ContractCase.ACCEPTS)
async def test_two_messages_have_two_ids(bench: Bench) -> None:
    ids = [(await send(bench.provider, await bench.message(ContractCase.ACCEPTS))).message_id for _ in range(2)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    "bench", [n for n, p in PROVIDERS.items() if p.idempotent or p.idempotency_window], indirect=True
)
async def test_a_provider_that_declares_idempotency_accepts_a_repeated_call(bench: Bench) -> None:
    message = await bench.message(ContractCase.ACCEPTS)
    results = [await send(bench.provider, message) for _ in range(2)]
    assert results[0] == results[1]
    assert await bench.kept(message) == 1


@for_providers_with(ContractCase.REFUSES)
async def test_a_refused_recipient_is_a_value_with_a_reason(bench: Bench) -> None:
    message = await bench.message(ContractCase.REFUSES)
    outcome = await send(bench.provider, message)
    assert outcome.result is CallResult.REFUSED
    assert outcome.reason
    assert await bench.kept(message) == 0


@for_providers_with(ContractCase.THROTTLES)
async def test_a_throttled_call_is_temporary_and_states_the_delay(bench: Bench) -> None:
    message = await bench.message(ContractCase.THROTTLES)
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(message)
    assert caught.value.retry_after
    assert await bench.kept(message) == 0


@for_providers_with(ContractCase.THROTTLES)
async def test_the_delay_reaches_the_workflow(bench: Bench) -> None:
    outcome = await send(bench.provider, await bench.message(ContractCase.THROTTLES))
    assert outcome.result is CallResult.NOT_ACCEPTED
    assert outcome.retry_after is not None
    assert outcome.retry_after > 0


@for_providers_with(ContractCase.BREAKS)
async def test_refused_credentials_are_permanent(bench: Bench) -> None:
    message = await bench.message(ContractCase.BREAKS)
    outcome = await send(bench.provider, message)
    assert (outcome.result, outcome.retry_after) == (CallResult.PERMANENT, None)
    assert await bench.kept(message) == 0


@for_providers_with(ContractCase.HANGS)
async def test_a_call_that_hangs_is_cut_by_the_deadline_and_unknown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_deadline(bench, ContractCase.HANGS, monkeypatch)
    message = await bench.message(ContractCase.HANGS)
    async with asyncio.timeout(60):
        outcome = await send(bench.provider, message)
    assert (outcome.result, outcome.reason) == (CallResult.UNKNOWN, "timeout")


@for_providers_with(ContractCase.LOSES)
async def test_a_lost_response_is_unknown_while_the_vendor_has_the_message(bench: Bench) -> None:
    message = await bench.message(ContractCase.LOSES)
    outcome = await send(bench.provider, message)
    assert outcome.result is CallResult.UNKNOWN
    assert await bench.kept(message) == 1


@for_providers_with(ContractCase.ERRS)
async def test_a_server_error_has_the_result_that_the_vendor_documents(bench: Bench) -> None:
    outcome = await send(bench.provider, await bench.message(ContractCase.ERRS))
    assert outcome.result is HARNESSES[bench.provider.name].after_error[ContractCase.ERRS]


@for_providers_with(ContractCase.REDIRECTS)
async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    message = await bench.message(ContractCase.REDIRECTS)
    outcome = await send(bench.provider, message)
    assert outcome.result is HARNESSES[bench.provider.name].after_error[ContractCase.REDIRECTS]
    assert await bench.called(message) == 1


@for_providers_with(ContractCase.MALFORMS)
async def test_an_unreadable_body_has_the_result_that_the_vendor_documents(bench: Bench) -> None:
    message = await bench.message(ContractCase.MALFORMS)
    outcome = await send(bench.provider, message)
    assert outcome.result is HARNESSES[bench.provider.name].after_error[ContractCase.MALFORMS]
    assert await bench.kept(message) == 1


@for_providers_with(ContractCase.FLOODS)
async def test_an_endless_response_is_cut_and_counts_as_accepted(bench: Bench) -> None:
    message = await bench.message(ContractCase.FLOODS)
    outcome = await send(bench.provider, message)
    assert outcome.result is CallResult.ACCEPTED
    assert len(repr(outcome)) < 10_000


@for_providers_with(ContractCase.DRIPS)
async def test_a_dripping_response_is_cut_by_the_deadline(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    set_deadline(bench, ContractCase.HANGS, monkeypatch)
    async with asyncio.timeout(60):
        outcome = await send(bench.provider, await bench.message(ContractCase.DRIPS))
    assert (outcome.result, outcome.reason) == (CallResult.UNKNOWN, "timeout")


@pytest.mark.parametrize("case", [ContractCase.ACCEPTS, *MISHAPS])
@pytest.mark.parametrize("bench", [name for name in PROVIDERS if name in HARNESSES], indirect=True)
async def test_an_attempt_is_one_call(bench: Bench, case: ContractCase, monkeypatch: pytest.MonkeyPatch) -> None:
    if case in HARNESSES[bench.provider.name].without:
        return
    set_deadline(bench, case, monkeypatch)
    message = await bench.message(case)
    await send(bench.provider, message)
    assert await bench.called(message) == 1


@for_providers_with(ContractCase.REFUSES)
async def test_no_reason_quotes_the_recipient(bench: Bench) -> None:
    without = HARNESSES[bench.provider.name].without
    for case in {
        ContractCase.REFUSES,
        ContractCase.THROTTLES,
        ContractCase.BREAKS,
        ContractCase.ERRS,
        ContractCase.LOSES,
    } - set(without):
        message = await bench.message(case)
        outcome = await send(bench.provider, message)
        assert outcome.reason
        assert not [value for value in map(str, message.address.values()) if value in repr(unrecorded_result(outcome))]
