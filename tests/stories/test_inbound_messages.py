"""Check what the messages of recipients do at each vendor of SMS: suppressions, answers and events."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus
from uuid import uuid4

import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from dispatch.sms_answerer import POLL_INTERVAL
from metrics.registry import REGISTRY
from providers.base import Provider
from providers.registry import PROVIDERS
from providers.sms_message import ANSWER_REFERENCE
from testing.vendors.registry import find_vendors
from testing.vendors.vendor import FakeVendor
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.captured_logs import capture_log
from tests.engine import Engine, running_engine
from tests.polling import eventually
from tests.receivers import EventReceiver, open_event_receiver, verify_request
from tests.storage.plain_text import tables_containing

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

STOP_ANSWER, START_ANSWER, HELP_ANSWER = ANSWERS = "You are out.", "You are in.", "Call 5."
VENDORS = [name for name, provider in PROVIDERS.items() if provider.answer_sms is not Provider.answer_sms]
# Tocsin answers every keyword.
FURTHER_SETTINGS = {"twilio": {"TOCSIN_TWILIO_ANSWERS_KEYWORDS": "false"}}


@dataclass(frozen=True, kw_only=True)
class SmsInstallation:
    """Hold an engine that sends SMS by one vendor, and that vendor."""

    engine: Engine
    vendor: FakeVendor
    http: AsyncClient

    def number(self) -> str:
        return f"+49170{uuid4().int % 10**8:08}"

    async def post(self, body: bytes) -> None:
        url = f"{self.engine.api_url}/api/v1/receipts/{self.vendor.name}"
        headers = {"Content-Type": self.vendor.receipt_type, **self.vendor.sign_receipt(body, url, datetime.now(UTC))}
        response = await self.http.post(url, content=body, headers=headers)
        assert response.status_code == 204, response.text

    async def receive(self, sender: str, content: str, times: int = 1) -> None:
        """Let the vendor report a message, which it repeats."""
        body = self.vendor.inbound_body(sender, content)
        for _ in range(times):
            await self.post(body)

    def answers(self, number: str) -> list[str]:
        """Return the texts that this number got as answers."""
        sent = [
            unquote_plus(call.request.body.decode())
            for call in self.vendor.log.calls
            if call.request and call.message
            if (call.message.reference, call.message.to) == (ANSWER_REFERENCE, number)
        ]
        return [answer for body in sent for answer in ANSWERS if answer in body]

    async def wait_until_answered(self, number: str) -> None:
        """Wait until no answer to this number is due and every claimed one has been sent."""

        async def count_answers() -> tuple[int, int]:
            query = "SELECT count(answer_until), count(answered_at) FROM inbound_message WHERE from_number = :number"
            async with self.engine.container.database.transaction() as session:
                due, claimed = (await session.execute(text(query), {"number": number})).one()
            return due, claimed

        # Sooner than the next poll of the answers.
        await eventually(count_answers, lambda counts: counts == (0, len(self.answers(number))), POLL_INTERVAL / 2)

    async def send_sms(self, api_tenant: ApiTenant, number: str, recipient_id: str = "ada") -> None:
        await api_tenant.put_recipient(recipient_id, phone=number)
        id = await api_tenant.send("news", recipient_id)
        await api_tenant.wait_for_status(id, "SENT", "DELIVERED")


@pytest.fixture(scope="module", params=VENDORS)
async def sms(
    request: pytest.FixtureRequest, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SmsInstallation]:
    vendor = find_vendors()[request.param]()
    home: Path = tmp_path_factory.mktemp("sms")
    texts = {"sms_stop_reply": STOP_ANSWER, "sms_start_reply": START_ANSWER, "sms_help_reply": HELP_ANSWER}
    with pytest.MonkeyPatch.context() as patch:
        async with vendor.running(), AsyncClient(trust_env=False) as http:
            for name, value in (vendor.environment() | FURTHER_SETTINGS.get(request.param, {})).items():
                patch.setenv(name, value)
            async with running_engine(database_url, home, sms_providers=[request.param], **texts) as engine:
                yield SmsInstallation(engine=engine, vendor=vendor, http=http)


@pytest.fixture
async def sms_tenants(sms: SmsInstallation) -> AsyncIterator[tuple[ApiTenant, ApiTenant]]:
    async with open_api_tenant(sms.engine) as one, open_api_tenant(sms.engine) as other:
        for api_tenant in (one, other):
            await api_tenant.put_type("news", ["sms"])
        yield one, other


@pytest.fixture
async def receiver() -> AsyncIterator[EventReceiver]:
    async with open_event_receiver() as receiver:
        yield receiver


async def put_endpoint(api_tenant: ApiTenant, receiver: EventReceiver) -> str:
    body = {"url": receiver.url, "events": ["message.received"]}
    return str((await api_tenant.call("PUT", "/event-endpoints/crm", body))["secret"])


async def list_messages(api_tenant: ApiTenant, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api_tenant.call("GET", f"/inbound-messages{query}"))["items"]
    return items


async def suppressed(api_tenant: ApiTenant) -> list[str]:
    return [item["address"] for item in (await api_tenant.call("GET", "/suppressions"))["items"]]


async def test_keywords_are_obeyed_and_answered_once(
    sms: SmsInstallation, sms_tenants: tuple[ApiTenant, ApiTenant]
) -> None:
    one, other = sms_tenants
    number = sms.number()
    await one.put_recipient("ada", phone=number)
    await other.put_recipient("eve", phone=number)
    await sms.receive(number, "opt-out", times=3)
    assert await suppressed(one) == await suppressed(other) == [number]
    await sms.receive(number, "Start", times=2)
    assert await suppressed(one) == await suppressed(other) == []
    await sms.receive(number, "HELP", times=2)
    await sms.wait_until_answered(number)
    assert sorted(sms.answers(number)) == sorted([STOP_ANSWER, START_ANSWER, HELP_ANSWER])
    for api_tenant, recipient_id in ((one, "ada"), (other, "eve")):
        messages = await list_messages(api_tenant)
        assert [message["keyword"] for message in messages] == ["help", "start", "stop"]
        assert {tuple(message["recipient_ids"]) for message in messages} == {(recipient_id,)}


async def test_two_programs_do_not_answer_each_other_for_ever(
    sms: SmsInstallation, sms_tenants: tuple[ApiTenant, ApiTenant]
) -> None:
    number = sms.number()
    await sms_tenants[0].put_recipient("ada", phone=number)
    for _ in range(5):
        await sms.receive(number, "help")
        await sms.wait_until_answered(number)
    assert sms.answers(number) == [HELP_ANSWER] * 3
    assert len(await list_messages(sms_tenants[0])) == 5


async def test_a_text_reaches_only_the_tenant_that_sent_to_the_number(
    sms: SmsInstallation, sms_tenants: tuple[ApiTenant, ApiTenant], receiver: EventReceiver
) -> None:
    one, other = sms_tenants
    number = sms.number()
    secret = await put_endpoint(one, receiver)
    await put_endpoint(other, receiver)
    await sms.send_sms(one, number)
    await one.put_recipient("ada-too", phone=number)
    await other.put_recipient("ada", phone=number)
    await sms.receive(number, "Please stop by at 5 🙂", times=2)
    [request] = await receiver.wait_for_requests(1)
    event = verify_request(request, secret)
    [message] = await list_messages(one, "?recipient_id=ada-too")
    assert event["type"] == "message.received"
    assert event["data"] == {
        "id": message["id"],
        "channel": "sms",
        "provider": sms.vendor.name,
        "from": number,
        "to": f"+{sms.vendor.settings['FROM'].removeprefix('+')}",
        "text": "Please stop by at 5 🙂",
        "keyword": None,
        "recipient_ids": ["ada", "ada-too"],
        "received_at": event["timestamp"],
    }
    assert {name: message[name] for name in event["data"] if name != "received_at"} == {
        name: value for name, value in event["data"].items() if name != "received_at"
    }
    assert await list_messages(one, "?recipient_id=eve") == await list_messages(other) == []
    assert await suppressed(one) == []
    assert sms.answers(number) == []
    # The next event is the second: the repeated callback has made none.
    await sms.receive(number, "And?")
    await receiver.wait_for_requests(2)
    assert [verify_request(request, secret)["data"]["text"] for request in receiver.requests][1:] == ["And?"]


async def test_a_message_of_an_unknown_number_is_counted_and_not_stored(sms: SmsInstallation) -> None:
    number, labels = sms.number(), {"provider": sms.vendor.name, "outcome": "unknown_number"}
    before = REGISTRY.get_sample_value("tocsin_inbound_messages_total", labels) or 0
    with capture_log() as log:
        await sms.receive(number, "HELP")
        await sms.receive(number, "Who is this?")
    assert log.getvalue().count("inbound message dropped") == 2
    assert number.removeprefix("+") not in log.getvalue()
    assert REGISTRY.get_sample_value("tocsin_inbound_messages_total", labels) == before + 2
    assert await tables_containing(sms.engine.container.database, number.removeprefix("+")) == {}
    await sms.wait_until_answered(number)
    assert sms.answers(number) == []


async def test_an_erasure_removes_messages_and_their_events(
    sms: SmsInstallation, sms_tenants: tuple[ApiTenant, ApiTenant], receiver: EventReceiver
) -> None:
    api_tenant, number = sms_tenants[0], sms.number()
    await put_endpoint(api_tenant, receiver)
    await api_tenant.put_recipient("ada", phone=number)
    await sms.receive(number, "HELP")
    await receiver.wait_for_requests(1)
    quoted = await tables_containing(sms.engine.container.database, number.removeprefix("+"))
    assert {"inbound_message", "event_message"} <= set(quoted)
    await sms.wait_until_answered(number)
    await api_tenant.call("DELETE", "/recipients/ada")
    assert await tables_containing(sms.engine.container.database, number.removeprefix("+")) == {}
