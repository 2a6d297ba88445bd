"""Test every provider whose vendor posts the SMS of recipients: what is kept, and how they are answered."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient

from api.app import create_app
from bootstrap import Container
from domain.inbound_messages import Keyword
from providers.base import Provider, ProviderReceipt
from providers.outcomes import ProviderAcceptance
from providers.registry import PROVIDERS
from providers.sms_message import ANSWER_REFERENCE, INBOUND_KINDS
from services.receipts import stored_receipt_of as stored
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor
from tests.api_tenants import open_in_process_tenant
from tests.providers.harness_http import HttpBench
from tests.providers.harnesses import HTTP_HARNESSES

ANSWERING = [name for name, provider in PROVIDERS.items() if provider.answer_sms is not Provider.answer_sms]
for_every_answering_provider = pytest.mark.parametrize("bench", ANSWERING, indirect=True)


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[HttpBench]:
    async with HTTP_HARNESSES[request.param].bench() as bench:
        yield bench


def new_number() -> str:
    """Return a unique number: the database is shared."""
    return f"+49170{uuid4().int % 10**8:08}"


def parse(bench: HttpBench, body: bytes) -> list[ProviderReceipt]:
    return bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


@for_every_answering_provider
async def test_the_fake_vendor_posts_messages_of_recipients(bench: HttpBench) -> None:
    assert type(bench.vendor).inbound_body is not FakeVendor.inbound_body
    assert bench.provider.receipt_kinds >= INBOUND_KINDS


@for_every_answering_provider
async def test_a_message_has_both_numbers_in_e164_and_its_text(bench: HttpBench) -> None:
    number = new_number()
    [receipt] = parse(bench, bench.vendor.inbound_body(number, "Grüße & more"))
    message = receipt.inbound
    assert message is not None
    assert (message.from_number, message.text, message.keyword) == (number, "Grüße & more", None)
    assert message.to_number.startswith("+")
    assert message.provider_message_id


@for_every_answering_provider
@pytest.mark.parametrize("keyword", Keyword)
async def test_a_keyword_is_found(bench: HttpBench, keyword: Keyword) -> None:
    [receipt] = parse(bench, bench.vendor.inbound_body(new_number(), f" {keyword}.\n"))
    assert receipt.inbound is not None
    assert receipt.inbound.keyword is keyword


@for_every_answering_provider
@pytest.mark.parametrize("sender", ["12345", "Shop", "whatsapp:+4917012345678"])
async def test_a_sender_without_a_phone_number_is_ignored(bench: HttpBench, sender: str) -> None:
    assert parse(bench, bench.vendor.inbound_body(sender, "STOP")) == []


@for_every_answering_provider
async def test_a_receipt_of_a_message_has_neither_number_nor_text(bench: HttpBench) -> None:
    number = new_number()
    [receipt] = parse(bench, bench.vendor.inbound_body(number, "hammerhead"))
    kept = json.dumps(receipt.raw)
    assert number.removeprefix("+") not in kept
    assert "hammerhead" not in kept


@for_every_answering_provider
async def test_a_repeated_message_is_one_and_two_messages_are_two(bench: HttpBench) -> None:
    number = new_number()
    one, other = [bench.vendor.inbound_body(number, "STOP") for _ in range(2)]
    ids = [stored(bench.provider.name, receipt).id for body in (one, one, other) for receipt in parse(bench, body)]
    assert ids[0] == ids[1] != ids[2]


@for_every_answering_provider
async def test_an_answer_is_one_request_under_the_reference_of_answers(bench: HttpBench) -> None:
    [to] = bench.address(VendorMode.GOOD).values()
    outcome = await bench.provider.answer_sms(to, "+15005550009", "You are unsubscribed.")
    assert isinstance(outcome, ProviderAcceptance)
    [call] = bench.vendor.log.calls
    assert call.message is not None
    assert (call.message.reference, call.message.to) == (ANSWER_REFERENCE, to)


@pytest.mark.postgres
@for_every_answering_provider
@pytest.mark.parametrize("text", ["STOP \x00", "STOP" + " " * 50_000], ids=["nul", "long"])
async def test_a_text_of_any_form_is_stored(bench: HttpBench, text: str, container: Container) -> None:
    number = new_number()
    assert await _stored(container, bench, number, bench.vendor.inbound_body(number, text)) == (
        204,
        [text.replace("\x00", "\ufffd")],
    )


@pytest.mark.postgres
@for_every_answering_provider
async def test_a_text_that_is_no_utf_8_is_cleaned_or_unreadable(bench: HttpBench, container: Container) -> None:
    number = new_number()
    body = bench.vendor.inbound_body(number, "STOP").replace(b"STOP", b"STOP\xff")
    assert await _stored(container, bench, number, body) in [(204, ["STOP\ufffd"]), (400, [])]


async def _stored(container: Container, bench: HttpBench, number: str, body: bytes) -> tuple[int, list[str]]:
    """Post the callback for a tenant with that number. Return the status and the texts that the tenant then has."""
    app = create_app(replace(container, providers={bench.provider.name: bench.provider}))
    async with (
        open_in_process_tenant(container) as api_tenant,
        AsyncClient(transport=ASGITransport(app), base_url="http://tocsin.test") as vendor,
    ):
        await api_tenant.put_recipient(phone=number)
        headers = {"Content-Type": bench.vendor.receipt_type, **bench.signed(body, datetime.now(UTC))}
        response = await vendor.post(f"/api/v1/receipts/{bench.provider.name}", content=body, headers=headers)
        items = (await api_tenant.call("GET", "/inbound-messages"))["items"]
        return response.status_code, [item["text"] for item in items]
