"""Test the messages of recipients as Vonage forwards them: signed like its statuses, and applied to the number."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient

from api.app import create_app
from bootstrap import Container
from domain.evidence import ReceiptKind
from domain.inbound_messages import InboundMessage, Keyword
from providers.base import ProviderReceipt
from providers.outcomes import ProviderAcceptance
from testing.vendors.modes import VendorMode
from testing.vendors.vonage import FakeVonage
from tests.api_tenants import open_in_process_tenant
from tests.providers.harness_http import PREFIX
from tests.providers.harness_vonage import VonageBench
from tests.providers.published_schemas import PAYLOADS, schema_problems

STOP, START, HELP = Keyword
TO = f"{PREFIX}{list(VendorMode).index(VendorMode.GOOD):02}0001"
INCOMING = json.loads((PAYLOADS / "vonage" / "incoming.json").read_text())


async def parsed(event: dict[str, Any]) -> list[ProviderReceipt]:
    async with VonageBench.running() as bench:
        body = json.dumps(event).encode()
        return bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


async def test_a_documented_stop_is_an_opt_out_without_the_number() -> None:
    assert schema_problems("vonage/messages", "inboundMessageSMS", INCOMING) == []
    assert await parsed(INCOMING) == [
        ProviderReceipt(
            kind=ReceiptKind.UNSUBSCRIBED,
            occurred_at=datetime(2025, 2, 3, 12, 14, 25, tzinfo=UTC),
            inbound=InboundMessage(
                provider_message_id=INCOMING["message_uuid"],
                from_number="+447700900000",
                to_number=f"+{INCOMING['to']}",
                text=INCOMING["text"],
                keyword=STOP,
            ),
            raw={"message_uuid": INCOMING["message_uuid"]},
        )
    ]


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        *[(word, STOP) for word in ("stop", " Stop.\n", "Unsubscribe", "cancel", "END", "quit", "REVOKE", "Opt Out")],
        *[(word, START) for word in ("START", "join", "Unstop!")],
        *[(word, None) for word in ("Stop it please", "", "💩", "YES", "starting")],
        *[(word, HELP) for word in ("HELP", "info?")],
    ],
)
async def test_only_a_word_that_stands_alone_is_a_keyword(text: str, keyword: Keyword | None) -> None:
    [receipt] = await parsed(INCOMING | {"text": text})
    assert receipt.inbound is not None
    assert (receipt.inbound.keyword, receipt.inbound.text, receipt.inbound.is_answered) == (keyword, text, False)


@pytest.mark.parametrize("sender", ["12345", "SHOP", ""])
async def test_a_sender_without_a_number_is_ignored(sender: str) -> None:
    assert await parsed(INCOMING | {"from": sender}) == []


@pytest.mark.parametrize("channel", ["whatsapp", "viber_service", "messenger", "rcs"])
async def test_a_message_of_another_channel_is_ignored(channel: str) -> None:
    assert await parsed(INCOMING | {"channel": channel}) == []


async def test_an_incoming_picture_is_a_message_without_text() -> None:
    picture = {name: value for name, value in INCOMING.items() if name != "text"}
    [receipt] = await parsed(picture | {"channel": "mms", "message_type": "image"})
    assert receipt.inbound is not None
    assert (receipt.inbound.text, receipt.inbound.keyword) == ("", None)


async def test_the_fake_vendor_posts_documented_messages() -> None:
    event = json.loads(FakeVonage().inbound_body(TO, "Hi"))
    assert schema_problems("vonage/messages", "inboundMessageSMS", event) == []


async def test_an_answer_comes_from_the_number_that_received_the_message() -> None:
    async with VonageBench.running() as bench:
        outcome = await bench.provider.answer_sms(TO, "+447700900009", "You are unsubscribed.")
        [request] = bench.vendor.log.requests
    assert isinstance(outcome, ProviderAcceptance)
    sent = (request.json["to"], request.json["from"], request.json["text"], request.json["client_ref"])
    assert sent == (TO[1:], "447700900009", "You are unsubscribed.", "answer")


async def test_the_status_of_an_answer_is_dropped() -> None:
    status = {"message_uuid": str(uuid4()), "timestamp": "2026-01-31T09:00:00Z", "status": "delivered"}
    assert await parsed(status | {"client_ref": "answer"}) == []
    assert len(await parsed(status | {"client_ref": str(uuid4())})) == 1


@pytest.mark.postgres
async def test_a_signed_stop_suppresses_the_number_and_start_lifts_it(container: Container) -> None:
    phone = f"+49170{uuid4().int % 10**8:08}"
    async with VonageBench.running() as bench, open_in_process_tenant(container) as api_tenant:
        app = create_app(replace(container, providers={"vonage": bench.provider}))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://tocsin.test") as vonage:
            await api_tenant.put_recipient(phone=phone)
            assert await _post(vonage, bench, phone, "STOP") == 204
            [entry] = (await api_tenant.http.get("/suppressions")).json()["items"]
            assert (entry["address"], entry["reason"], entry["source"]) == (phone, "opted_out", "vonage")
            assert await _post(vonage, bench, phone, "START") == 204
            assert (await api_tenant.http.get("/suppressions")).json()["items"] == []


async def _post(vonage: AsyncClient, bench: VonageBench, phone: str, text: str) -> int:
    event = INCOMING | {"message_uuid": str(uuid4()), "from": phone[1:], "text": text}
    body = json.dumps(event).encode()
    response = await vonage.post("/api/v1/receipts/vonage", content=body, headers=bench.signed(body, datetime.now(UTC)))
    return response.status_code
