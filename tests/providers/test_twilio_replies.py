"""Test STOP and START as Twilio forwards them: signed like its callbacks, applied once, in every tenant with the
number.
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
from providers.base import ForgedReceipt, UnreadableReceipt
from testing.vendors.twilio import TOKEN, sign
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.providers.harness_twilio import CALLBACK, TwilioBench, twilio_bench

STOP, START = ReceiptKind.UNSUBSCRIBED, ReceiptKind.RESUBSCRIBED
NUMBER = "+4917012345678"


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with twilio_bench() as bench:
        yield bench


def reply(body: str = "STOP", **more: str) -> dict[str, str]:
    """Return the fields: https://www.twilio.com/docs/messaging/guides/webhook-request"""
    sid = f"SM{uuid4().hex}"
    fields = {"MessageSid": sid, "SmsSid": sid, "AccountSid": "AC1", "From": NUMBER, "To": "+15005550006"}
    return {**fields, "Body": body, "NumMedia": "0", "SmsStatus": "received", "ApiVersion": "2010-04-01", **more}


def parsed_kinds(bench: TwilioBench, fields: dict[str, str]) -> list[tuple[ReceiptKind, str | None]]:
    body = urlencode(fields).encode()
    read = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    for receipt in read:
        assert (receipt.attempt_id, receipt.provider_message_id) == (None, None)
        assert NUMBER not in str(receipt.raw)
    return [(receipt.kind, receipt.phone) for receipt in read]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (reply("Stop", OptOutType="STOP"), STOP),
        (reply("Arrêt", OptOutType="STOP"), STOP),
        (reply("Start", OptOutType="START"), START),
        *[(reply(word), STOP) for word in ("STOP", "stop", " Stop.\n", "STOPALL", "Unsubscribe", "cancel", "END")],
        *[(reply(word), STOP) for word in ("quit", "REVOKE", "opt-out", "Opt Out")],
        *[(reply(word), START) for word in ("START", "yes", "Unstop!")],
        *[(reply(word), None) for word in ("Stop it please", "HELP", "", "💩", "please cancel", "starting")],
        (reply("Hilfe", OptOutType="HELP"), None),
        (reply("STOP", OptOutType="HELP"), None),
        (reply("STOP", From="whatsapp:+4917012345678"), None),
        (reply("STOP", From="12345"), None),
        (reply("STOP", From=""), None),
    ],
)
async def test_only_a_word_that_stands_alone_is_an_opt_out(
    bench: TwilioBench, fields: dict[str, str], kind: ReceiptKind | None
) -> None:
    assert parsed_kinds(bench, fields) == ([] if kind is None else [(kind, NUMBER)])


async def test_the_status_of_a_message_is_no_reply(bench: TwilioBench) -> None:
    fields = reply(MessageStatus="delivered")
    body = urlencode(fields).encode()
    [receipt] = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    assert (receipt.kind, receipt.phone) == (ReceiptKind.DELIVERED, None)
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
async def test_other_replies_are_acknowledged_and_not_stored(installation: TwilioInstallation) -> None:
    api_tenant = installation.api_tenants[0]
    phone = number()
    await api_tenant.put_recipient(phone=phone)
    words = reply("Thank you!", From=phone)
    await installation.write(words)
    assert (await listed(api_tenant), await installation.receipts(words)) == ([], [])
