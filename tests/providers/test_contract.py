"""Test every registered provider against the contract of the engine, through the call that `deliver` uses."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from commands.provider_checks import NOTHING_TO_CHECK
from config import Settings
from domain.evidence import CallResult, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt
from providers.outcomes import PermanentError, ProviderAcceptance, TemporaryError
from providers.pools import CALL_OVERHEAD
from providers.registry import PROVIDERS
from services.outcome_translation import unrecorded_result
from services.provider_calls import send_once as send
from services.receipts import stored_receipt_of as stored
from storage.database import Database
from tests.providers.harness import Bench, ContractCase
from tests.providers.harnesses import HARNESSES, HTTP_HARNESSES

pytestmark = pytest.mark.postgres
LATER = timedelta(seconds=2)
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


def for_providers_with(*cases: ContractCase) -> pytest.MarkDecorator:
    """Parametrize over every provider whose harness does not exclude the cases."""
    able = [name for name in PROVIDERS if name in HARNESSES and not set(cases) & set(HARNESSES[name].without)]
    return pytest.mark.parametrize("bench", able, indirect=True)


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


def _set_deadline(bench: Bench, case: ContractCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a short deadline for vendors that never respond. All others get the time that they need on a slow machine."""
    monkeypatch.setattr(
        type(bench.provider), "deadline", 0.5 if case in (ContractCase.HANGS, ContractCase.DRIPS) else 60.0
    )


@for_providers_with(ContractCase.HANGS)
async def test_a_call_that_hangs_is_cut_by_the_deadline_and_unknown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_deadline(bench, ContractCase.HANGS, monkeypatch)
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
    _set_deadline(bench, ContractCase.HANGS, monkeypatch)
    async with asyncio.timeout(60):
        outcome = await send(bench.provider, await bench.message(ContractCase.DRIPS))
    assert (outcome.result, outcome.reason) == (CallResult.UNKNOWN, "timeout")


@pytest.mark.parametrize("case", [ContractCase.ACCEPTS, *MISHAPS])
@pytest.mark.parametrize("bench", [name for name in PROVIDERS if name in HARNESSES], indirect=True)
async def test_an_attempt_is_one_call(bench: Bench, case: ContractCase, monkeypatch: pytest.MonkeyPatch) -> None:
    if case in HARNESSES[bench.provider.name].without:
        return
    _set_deadline(bench, case, monkeypatch)
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


async def reported(bench: Bench, word: str) -> tuple[OutgoingMessage, str, bytes]:
    message = await bench.message(ContractCase.ACCEPTS)
    outcome = await send(bench.provider, message)
    message_id = outcome.message_id or ""
    return message, message_id, bench.report(word, message, message_id, datetime.now(UTC))


async def read(bench: Bench, headers: Mapping[str, str], body: bytes) -> list[ProviderReceipt]:
    """Read a callback like the API."""
    await bench.provider.prepare_receipts(headers, body)
    return bench.provider.parse_receipts(headers, body)


async def parsed(
    bench: Bench, body: bytes, at: datetime | None = None, *, genuine: bool = True
) -> list[ProviderReceipt]:
    """Read a callback with this body, sent and signed at that time."""
    return await read(bench, *bench.signed_receipt(body, at or datetime.now(UTC), genuine=genuine))


@for_providers_with(ContractCase.REPORTS)
async def test_a_receipt_names_the_attempt_and_has_a_known_kind(bench: Bench) -> None:
    message, message_id, body = await reported(bench, HARNESSES[bench.provider.name].delivered)
    [receipt] = await parsed(bench, body)
    assert receipt.kind is ReceiptKind.DELIVERED
    assert message.attempt_id == receipt.attempt_id or message_id == receipt.provider_message_id
    assert receipt.occurred_at.tzinfo is not None
    assert receipt.raw


@for_providers_with(ContractCase.REPORTS)
async def test_an_unknown_vendor_term_is_unknown_and_kept(bench: Bench) -> None:
    _, _, body = await reported(bench, "teleported")
    [receipt] = await parsed(bench, body)
    assert receipt.kind is ReceiptKind.UNKNOWN
    assert "teleported" in str(receipt.raw)


@for_providers_with(ContractCase.REPORTS)
async def test_a_repeated_receipt_is_the_same_receipt(bench: Bench) -> None:
    _, _, body = await reported(bench, HARNESSES[bench.provider.name].delivered)
    first, again = [
        [stored(bench.provider.name, receipt).id for receipt in await parsed(bench, body, datetime.now(UTC) - delay)]
        for delay in (timedelta(), LATER)
    ]
    assert first == again


@for_providers_with(ContractCase.REPORTS)
async def test_receipts_of_two_messages_are_two(bench: Bench) -> None:
    word = HARNESSES[bench.provider.name].delivered
    bodies = [(await reported(bench, word))[2] for _ in range(2)]
    ids = {stored(bench.provider.name, receipt).id for body in bodies for receipt in await parsed(bench, body)}
    assert len(ids) == 2


@for_providers_with(ContractCase.REPORTS)
async def test_a_forged_receipt_is_refused(bench: Bench) -> None:
    _, _, body = await reported(bench, HARNESSES[bench.provider.name].delivered)
    with pytest.raises(ForgedReceipt):
        await parsed(bench, body, genuine=False)


@for_providers_with(ContractCase.REPORTS)
async def test_a_receipt_without_its_signature_is_refused(bench: Bench) -> None:
    _, _, body = await reported(bench, HARNESSES[bench.provider.name].delivered)
    unsigned = bench.without_signature(*bench.signed_receipt(body, datetime.now(UTC)))
    assert unsigned
    for headers, changed in unsigned:
        with pytest.raises(ForgedReceipt):
            await read(bench, headers, changed)


@for_providers_with(ContractCase.SIGNS_BODY)
async def test_a_receipt_with_a_changed_body_is_refused(bench: Bench) -> None:
    message, message_id, body = await reported(bench, HARNESSES[bench.provider.name].delivered)
    headers = bench.signed(body, datetime.now(UTC))
    other = bench.report("opened", replace(message, attempt_id=message.delivery_id), message_id, datetime.now(UTC))
    for changed in (other, body + b" ", b""):
        with pytest.raises(ForgedReceipt):
            await read(bench, headers, changed)


@for_providers_with(ContractCase.SIGNS_TIME)
async def test_a_receipt_signed_at_another_time_is_refused(bench: Bench) -> None:
    harness = HARNESSES[bench.provider.name]
    _, _, body = await reported(bench, harness.delivered)
    for age in (harness.signature_lifetime + timedelta(minutes=5), -timedelta(hours=1)):
        with pytest.raises(ForgedReceipt):
            await parsed(bench, body, datetime.now(UTC) - age)


@for_providers_with(ContractCase.REPORTS)
@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"[]", b"{}", b'"text"', b"7"])
async def test_a_signed_body_that_the_vendor_does_not_document_is_unreadable(bench: Bench, body: bytes) -> None:
    with pytest.raises(UnreadableReceipt):
        await parsed(bench, body)


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if not provider.parses_receipts()])
async def test_a_provider_without_receipts_refuses_every_receipt_as_forged(name: str, database: Database) -> None:
    async with HARNESSES[name].bench(database) as bench:
        with pytest.raises(ForgedReceipt):
            bench.provider.parse_receipts({}, b"{}")


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
    _set_deadline(bench, case, monkeypatch)
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
        _set_deadline(bench, ContractCase.HANGS, hasty)
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
    _set_deadline(bench, case, monkeypatch)
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
