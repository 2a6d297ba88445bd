"""Test the messages of recipients as Twilio forwards them: signed like its callbacks, applied once, in every tenant
with the number.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import text

from api.app import create_app
from bootstrap import Container
from domain.evidence import ReceiptKind
from domain.inbound_messages import InboundMessage, Keyword
from providers.base import ForgedReceipt, UnreadableReceipt
from providers.outcomes import ProviderAcceptance
from testing.vendors.modes import VendorMode
from testing.vendors.twilio import TOKEN, sign
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.providers.harness_http import PREFIX
from tests.providers.harness_twilio import CALLBACK, TwilioBench

STOP, START, HELP = Keyword
NUMBER = "+4917012345678"
NUMBER_OF_GOOD = f"{PREFIX}{list(VendorMode).index(VendorMode.GOOD):02}0001"


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with TwilioBench.running() as bench:
        yield bench


def reply(body: str = "STOP", **more: str) -> dict[str, str]:
    """Return the fields: https://www.twilio.com/docs/messaging/guides/webhook-request"""
    sid = f"SM{uuid4().hex}"
    fields = {"MessageSid": sid, "SmsSid": sid, "AccountSid": "AC1", "From": NUMBER, "To": "+15005550006"}
    return {**fields, "Body": body, "NumMedia": "0", "SmsStatus": "received", "ApiVersion": "2010-04-01", **more}


def parse_inbound(bench: TwilioBench, fields: dict[str, str]) -> list[InboundMessage | None]:
    body = urlencode(fields).encode()
    read = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    for receipt in read:
        assert (receipt.attempt_id, receipt.provider_message_id) == (None, None)
        assert receipt.raw == {"MessageSid": fields["MessageSid"]}
        assert NUMBER not in repr(receipt)
    return [receipt.inbound for receipt in read]


@pytest.mark.parametrize(
    ("fields", "keyword"),
    [
        (reply("Stop", OptOutType="STOP"), STOP),
        (reply("Arrêt", OptOutType="STOP"), STOP),
        (reply("Start", OptOutType="START"), START),
        *[(reply(word), STOP) for word in ("STOP", "stop", " Stop.\n", "STOPALL", "Unsubscribe", "cancel", "END")],
        *[(reply(word), STOP) for word in ("quit", "REVOKE", "opt-out", "Opt Out")],
        *[(reply(word), START) for word in ("START", "yes", "Unstop!")],
        *[(reply(word), None) for word in ("Stop it please", "", "💩", "please cancel", "starting", "join")],
        *[(reply(word), HELP) for word in ("HELP", "info")],
        (reply("Hilfe", OptOutType="HELP"), HELP),
        (reply("STOP", OptOutType="HELP"), HELP),
        (reply("STOP", OptOutType="OTHER"), None),
    ],
)
async def test_only_a_word_that_stands_alone_is_a_keyword(
    bench: TwilioBench, fields: dict[str, str], keyword: Keyword | None
) -> None:
    [inbound] = parse_inbound(bench, fields)
    assert inbound is not None
    assert (inbound.keyword, inbound.from_number, inbound.text) == (keyword, NUMBER, fields["Body"])
    assert (inbound.to_number, inbound.provider_message_id) == (fields["To"], fields["MessageSid"])


@pytest.mark.parametrize("sender", ["whatsapp:+4917012345678", "12345", ""])
async def test_a_sender_without_a_number_is_ignored(bench: TwilioBench, sender: str) -> None:
    assert parse_inbound(bench, reply("STOP", From=sender)) == []


@pytest.mark.parametrize(
    ("fields", "is_answered"),
    [
        *[(reply(word), True) for word in ("STOP", " stop ", "yes", "Info")],
        *[(reply(word), False) for word in ("Stop!", "opt-out", "Thank you")],
        (reply("STOP", To="12345"), False),
        (reply("Hilfe", To="12345", OptOutType="HELP"), True),
    ],
)
async def test_twilio_answers_its_own_words_and_those_of_its_opt_out_service(
    bench: TwilioBench, fields: dict[str, str], is_answered: bool
) -> None:
    [inbound] = parse_inbound(bench, fields)
    assert inbound is not None
    assert inbound.is_answered is is_answered


async def test_twilio_answers_nothing_if_its_answers_are_off(bench: TwilioBench) -> None:
    bench.provider = bench.adapter(answers_keywords=False)
    answered = [parse_inbound(bench, fields)[0] for fields in (reply("STOP"), reply("STOP", OptOutType="STOP"))]
    assert [inbound.is_answered for inbound in answered if inbound] == [False, True]


async def test_an_answer_comes_from_the_number_that_received_the_message(bench: TwilioBench) -> None:
    outcome = await bench.provider.answer_sms(NUMBER_OF_GOOD, "+15005550009", "You are unsubscribed.")
    assert isinstance(outcome, ProviderAcceptance)
    [request] = bench.vendor.log.requests
    fields = {"To": NUMBER_OF_GOOD, "From": "+15005550009", "Body": "You are unsubscribed."}
    assert request.form == {**fields, "StatusCallback": f"{CALLBACK}?attempt=answer"}


async def test_the_status_of_an_answer_is_dropped(bench: TwilioBench) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": "delivered", "To": NUMBER}).encode()
    headers = {"x-twilio-signature": sign(TOKEN, f"{CALLBACK}?attempt=answer", body)}
    assert bench.provider.parse_receipts(headers, body, "attempt=answer") == []
    assert len(bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)) == 1


async def test_the_status_of_a_message_is_no_reply(bench: TwilioBench) -> None:
    fields = reply(MessageStatus="delivered")
    body = urlencode(fields).encode()
    [receipt] = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    assert (receipt.kind, receipt.inbound) == (ReceiptKind.DELIVERED, None)
    body = urlencode({"From": NUMBER, "Body": "STOP"}).encode()
    with pytest.raises(UnreadableReceipt):
        bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


async def test_a_reply_that_twilio_has_not_signed_is_forged(bench: TwilioBench) -> None:
    body = urlencode(reply()).encode()
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC), genuine=False), body)


@dataclass(frozen=True)
class TwilioInstallation:
    """Hold two tenants of one installation that sends by Twilio, and Twilio."""

    container: Container
    twilio: AsyncClient
    api_tenants: tuple[ApiTenant, ApiTenant]

    async def write(self, fields: dict[str, str]) -> Response:
        body = urlencode(fields).encode()
        headers = {"X-Twilio-Signature": sign(TOKEN, CALLBACK, body)}
        response = await self.twilio.post("/api/v1/receipts/twilio", content=body, headers=headers)
        assert response.status_code == 204, response.text
        return response

    async def receipts(self, fields: dict[str, str]) -> list[dict[str, Any]]:
        statement = text("SELECT * FROM receipt WHERE raw->>'MessageSid' = :sid")
        async with self.container.database.transaction() as session:
            return [dict(row) for row in (await session.execute(statement, {"sid": fields["MessageSid"]})).mappings()]


@pytest.fixture
async def installation(container: Container, bench: TwilioBench) -> AsyncIterator[TwilioInstallation]:
    app = create_app(replace(container, providers={"twilio": bench.provider}))
    async with (
        open_in_process_tenant(container) as one,
        open_in_process_tenant(container) as other,
        AsyncClient(transport=ASGITransport(app), base_url="http://tocsin.test") as twilio,
    ):
        yield TwilioInstallation(container=container, twilio=twilio, api_tenants=(one, other))


def number() -> str:
    """Return a unique number: the database is shared."""
    return f"+49170{uuid4().int % 10**8:08}"


async def listed(api_tenant: ApiTenant) -> list[tuple[str, str, str, str]]:
    items = (await api_tenant.http.get("/suppressions")).json()["items"]
    return [(item["channel"], item["address"], item["reason"], item["source"]) for item in items]


@pytest.mark.postgres
async def test_stop_suppresses_the_number_only_for_tenants_that_use_it(installation: TwilioInstallation) -> None:
    one, other = installation.api_tenants
    phone = number()
    await one.put_recipient(phone=phone, email="ada@example.com")
    await one.put(f"/recipients/{one.recipient_id}-too", {"phone": phone})
    await installation.write(reply(From=phone))
    assert await listed(one) == [("sms", phone, "opted_out", "twilio")]
    assert await listed(other) == []
    await other.put_recipient(phone=phone)
    await installation.write(reply(From=phone))
    assert await listed(one) == await listed(other) == [("sms", phone, "opted_out", "twilio")]


@pytest.mark.postgres
async def test_start_lifts_only_suppressions_of_stop(installation: TwilioInstallation) -> None:
    one, other = installation.api_tenants
    phone = number()
    await one.put_recipient(phone=phone)
    await other.put_recipient(phone=phone)
    await other.http.post("/suppressions", json={"channel": "sms", "address": phone})
    await installation.write(reply(From=phone))
    await installation.write(reply("START", From=phone))
    assert await listed(one) == []
    assert await listed(other) == [("sms", phone, "manual", "api")]


@pytest.mark.postgres
async def test_a_repeated_callback_is_applied_once(installation: TwilioInstallation) -> None:
    api_tenant = installation.api_tenants[0]
    phone = number()
    await api_tenant.put_recipient(phone=phone)
    stop = reply(From=phone)
    await installation.write(stop)
    await installation.write(reply("START", From=phone))
    await installation.write(stop)
    assert await listed(api_tenant) == []
    [receipt] = await installation.receipts(stop)
    assert (receipt["applied_at"] is not None, receipt["next_attempt_at"]) == (True, None)
    assert phone not in str(receipt)


@pytest.mark.postgres
async def test_only_what_twilio_does_not_answer_is_to_be_answered(installation: TwilioInstallation) -> None:
    api_tenant = installation.api_tenants[0]
    phone = number()
    await api_tenant.put_recipient(phone=phone)
    answered = [reply("STOP", From=phone), reply("Stopp", From=phone, OptOutType="STOP")]
    for fields in (*answered, reply("opt-out", From=phone)):
        await installation.write(fields)
    due = text("SELECT text FROM inbound_message WHERE tenant = :tenant AND answer_until IS NOT NULL")
    async with installation.container.database.transaction() as session:
        assert list((await session.execute(due, {"tenant": api_tenant.tenant})).scalars()) == ["opt-out"]
    items = (await api_tenant.call("GET", "/inbound-messages"))["items"]
    assert [item["keyword"] for item in items] == ["stop"] * 3


@pytest.mark.postgres
async def test_a_text_of_an_unknown_number_leaves_only_its_id(installation: TwilioInstallation) -> None:
    words = reply("Thank you!", From=number())
    await installation.write(words)
    [receipt] = await installation.receipts(words)
    assert (receipt["kind"], receipt["applied_at"] is not None) == ("unknown", True)
    assert words["From"] not in str(receipt)
