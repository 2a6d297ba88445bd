"""Test the checks and lookups of every registered provider against the contract of the engine."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.evidence import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import PermanentError, ProviderAcceptance, TemporaryError
from services.provider_calls import send_once as send
from storage.database import Database
from tests.providers.contract_cases import for_providers_with, set_deadline
from tests.providers.harness import Bench, ContractCase
from tests.providers.harnesses import HARNESSES

pytestmark = pytest.mark.postgres


@pytest.fixture
async def bench(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Bench]:
    async with HARNESSES[request.param].bench(database) as bench:
        yield bench


@for_providers_with(ContractCase.CHECKS)
async def test_a_check_with_good_credentials_passes_and_sends_nothing(bench: Bench) -> None:
    assert await bench.provider.check()
    assert bench.sends() == 0


@for_providers_with(ContractCase.CHECKS)
async def test_a_check_reports_unknown_credentials(bench: Bench) -> None:
    with pytest.raises(PermanentError, match=r"^credentials_refused$"):
        await bench.bad_credentials().check()
    assert bench.sends() == 0


@for_providers_with(ContractCase.CHECKS)
async def test_a_check_reports_an_unreachable_vendor(bench: Bench) -> None:
    with pytest.raises(TemporaryError, match=r"^connect_failed$"):
        await bench.unreachable().check()


# Possible results of a query over HTTP, and what they prove: never that a message may have been accepted.
LOOKUP_ERRORS = {
    ContractCase.THROTTLES: TemporaryError,
    ContractCase.BREAKS: PermanentError,
    ContractCase.HANGS: TemporaryError,
    ContractCase.LOSES: TemporaryError,
    ContractCase.ERRS: TemporaryError,
    ContractCase.REDIRECTS: PermanentError,
    ContractCase.MALFORMS: TemporaryError,
    ContractCase.FLOODS: TemporaryError,
    ContractCase.DRIPS: TemporaryError,
}


@for_providers_with(ContractCase.CHECKS, ContractCase.ERRS)
@pytest.mark.parametrize("case", LOOKUP_ERRORS)
async def test_a_failing_check_raises_a_provider_error_within_the_deadline(
    bench: Bench, case: ContractCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_deadline(bench, case, monkeypatch)
    bench.set_lookup_mode(case)
    async with asyncio.timeout(60):
        with pytest.raises(LOOKUP_ERRORS[case]):
            await bench.provider.check()
    assert (bench.lookups(), bench.sends()) == (1, 0)


async def found(bench: Bench, message: OutgoingMessage) -> list[ProviderAcceptance]:
    """Look up like reconcile, a moment after the row was written."""
    return await bench.provider.look_up(message, datetime.now(UTC) - timedelta(seconds=5))


@for_providers_with(ContractCase.FINDS, ContractCase.LOSES)
async def test_an_accepted_message_is_found_after_a_lost_response(bench: Bench) -> None:
    message = await bench.message(ContractCase.LOSES)
    assert (await send(bench.provider, message)).result is CallResult.UNKNOWN
    [accepted] = await found(bench, message)
    assert accepted.message_id


@for_providers_with(ContractCase.FINDS)
async def test_a_lookup_returns_the_message_id_of_the_response(bench: Bench) -> None:
    message = await bench.message(ContractCase.ACCEPTS)
    outcome = await send(bench.provider, message)
    assert [accepted.message_id for accepted in await found(bench, message)] == [outcome.message_id]


@for_providers_with(ContractCase.FINDS)
async def test_a_lookup_finds_only_the_requested_message(bench: Bench) -> None:
    messages = [await bench.message(ContractCase.ACCEPTS) for _ in range(3)]
    sent = [(await send(bench.provider, message)).message_id for message in messages]
    assert [[accepted.message_id for accepted in await found(bench, message)] for message in messages] == [
        [message_id] for message_id in sent
    ]


@for_providers_with(ContractCase.FINDS, ContractCase.HANGS)
async def test_a_message_that_never_arrived_is_not_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await send(bench.provider, await bench.message(ContractCase.ACCEPTS))
    hung, unsent = await bench.message(ContractCase.HANGS), await bench.message(ContractCase.ACCEPTS)
    with monkeypatch.context() as hasty:
        set_deadline(bench, ContractCase.HANGS, hasty)
        assert (await send(bench.provider, hung)).result is CallResult.UNKNOWN
    assert [await found(bench, message) for message in (hung, unsent)] == [[], []]


@for_providers_with(ContractCase.FINDS, ContractCase.ERRS)
async def test_a_lookup_is_one_request_and_sends_nothing(bench: Bench) -> None:
    message = await bench.message(ContractCase.LOSES)
    await send(bench.provider, message)
    for times in (1, 2):
        assert await found(bench, message)
        assert (bench.lookups(), bench.sends()) == (times, 1)


@for_providers_with(ContractCase.FINDS, ContractCase.ERRS)
@pytest.mark.parametrize("case", LOOKUP_ERRORS)
async def test_a_failed_lookup_proves_nothing_and_is_not_repeated(
    bench: Bench, case: ContractCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await bench.message(ContractCase.LOSES)
    await send(bench.provider, message)
    set_deadline(bench, case, monkeypatch)
    bench.set_lookup_mode(case)
    async with asyncio.timeout(60):
        with pytest.raises(LOOKUP_ERRORS[case]):
            await found(bench, message)
    assert bench.lookups() == 1


@for_providers_with(ContractCase.FINDS, ContractCase.ERRS)
async def test_a_lookup_reports_unknown_credentials(bench: Bench) -> None:
    message = await bench.message(ContractCase.ACCEPTS)
    with pytest.raises(PermanentError, match=r"^credentials_refused$"):
        await bench.bad_credentials().look_up(message, datetime.now(UTC))
    with pytest.raises(TemporaryError, match=r"^connect_failed$"):
        await bench.unreachable().look_up(message, datetime.now(UTC))
