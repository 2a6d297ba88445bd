"""Test the receipts of every registered provider against the contract of the engine."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.registry import PROVIDERS
from services.provider_calls import send_once as send
from services.receipts import stored_receipt_of as stored
from storage.database import Database
from tests.providers.contract_cases import for_providers_with
from tests.providers.harness import Bench, ContractCase, word_problem
from tests.providers.harnesses import HARNESSES

pytestmark = pytest.mark.postgres
LATER = timedelta(seconds=2)


@pytest.fixture
async def bench(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Bench]:
    async with HARNESSES[request.param].bench(database) as bench:
        yield bench


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
    message, message_id, body = await reported(bench, "delivered")
    [receipt] = await parsed(bench, body)
    assert receipt.kind is ReceiptKind.DELIVERED, word_problem(bench.provider.name, "delivered", receipt.kind)
    assert message.attempt_id == receipt.attempt_id or message_id == receipt.provider_message_id
    assert receipt.occurred_at.tzinfo is not None
    assert receipt.raw


@for_providers_with(ContractCase.REPORTS)
async def test_an_opening_is_known_if_the_vendor_reports_any(bench: Bench) -> None:
    _, _, body = await reported(bench, "open")
    [receipt] = await parsed(bench, body)
    expected = ReceiptKind.OPENED if ReceiptKind.OPENED in bench.provider.receipt_kinds else ReceiptKind.UNKNOWN
    assert receipt.kind is expected, word_problem(bench.provider.name, "open", receipt.kind)


@for_providers_with(ContractCase.REPORTS)
async def test_an_unknown_vendor_term_is_unknown_and_kept(bench: Bench) -> None:
    _, _, body = await reported(bench, "teleported")
    [receipt] = await parsed(bench, body)
    assert receipt.kind is ReceiptKind.UNKNOWN
    assert "teleported" in str(receipt.raw)


@for_providers_with(ContractCase.REPORTS)
async def test_a_repeated_receipt_is_the_same_receipt(bench: Bench) -> None:
    _, _, body = await reported(bench, "delivered")
    first, again = [
        [stored(bench.provider.name, receipt).id for receipt in await parsed(bench, body, datetime.now(UTC) - delay)]
        for delay in (timedelta(), LATER)
    ]
    assert first == again


@for_providers_with(ContractCase.REPORTS)
async def test_receipts_of_two_messages_are_two(bench: Bench) -> None:
    bodies = [(await reported(bench, "delivered"))[2] for _ in range(2)]
    ids = {stored(bench.provider.name, receipt).id for body in bodies for receipt in await parsed(bench, body)}
    assert len(ids) == 2


@for_providers_with(ContractCase.REPORTS)
async def test_a_forged_receipt_is_refused(bench: Bench) -> None:
    _, _, body = await reported(bench, "delivered")
    with pytest.raises(ForgedReceipt):
        await parsed(bench, body, genuine=False)


@for_providers_with(ContractCase.REPORTS)
async def test_a_receipt_without_its_signature_is_refused(bench: Bench) -> None:
    _, _, body = await reported(bench, "delivered")
    unsigned = bench.without_signature(*bench.signed_receipt(body, datetime.now(UTC)))
    assert unsigned
    for headers, changed in unsigned:
        with pytest.raises(ForgedReceipt):
            await read(bench, headers, changed)


@for_providers_with(ContractCase.SIGNS_BODY)
async def test_a_receipt_with_a_changed_body_is_refused(bench: Bench) -> None:
    message, message_id, body = await reported(bench, "delivered")
    headers = bench.signed(body, datetime.now(UTC))
    other = bench.report("opened", replace(message, attempt_id=message.delivery_id), message_id, datetime.now(UTC))
    for changed in (other, body + b" ", b""):
        with pytest.raises(ForgedReceipt):
            await read(bench, headers, changed)


@for_providers_with(ContractCase.SIGNS_TIME)
async def test_a_receipt_signed_at_another_time_is_refused(bench: Bench) -> None:
    lifetime = HARNESSES[bench.provider.name].signature_lifetime
    _, _, body = await reported(bench, "delivered")
    for age in (lifetime + timedelta(minutes=5), -timedelta(hours=1)):
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
