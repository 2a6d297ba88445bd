"""Test the fake HTTP vendors: the adapters accept them as vendors, and they print no secret."""

import json
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.apns.adapter import Apns, ApnsSettings
from providers.base import Provider
from providers.chat.adapter import Chat, ChatSettings
from providers.fcm.adapter import Fcm, FcmSettings
from providers.outcomes import PermanentError, ProviderAcceptance
from providers.registry import PROVIDERS
from providers.transport import Transport, outgoing_client
from providers.web_push.adapter import WebPush
from providers.web_push.settings import WebPushSettings
from providers.web_push.vapid import new_private_key
from testing.vendors.apns import new_key, pem_of
from testing.vendors.log import VendorLog
from testing.vendors.registry import find_vendors
from testing.vendors.web_push import FakeWebPush
from tests.code.tree import ROOT
from tests.outgoing_messages import outgoing_message
from tests.providers.harness import tools_with, word_problem
from tests.receivers import EventReceiver, open_event_receiver

VENDORS = find_vendors()
REPORTING = [name for name in VENDORS if PROVIDERS[name].parses_receipts()]
SECRET = "hammerhead"
MESSAGES = {
    Channel.EMAIL: outgoing_message(address={"email": "447700900142@example.com"}),
    Channel.SMS: outgoing_message(Channel.SMS, address={"phone": "+447700900142"}, content={"text": "Grüße & more"}),
}


@dataclass
class RunningVendors:
    """Run the vendors. `output` is what they printed so far."""

    process: Process
    tocsin: EventReceiver
    transport: Transport
    account: Path
    browser: Path
    url: str = ""
    output: str = ""

    async def until(self, words: str) -> str:
        """Read until a line contains the words, and return it."""
        assert self.process.stdout
        while True:
            line = (await self.process.stdout.readline()).decode()
            assert line, self.output
            self.output += line
            if words in line:
                return line.strip()

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings that the documentation describes: any credentials, and what the vendors have printed."""
        vendor = VENDORS[name].stand_in(VendorLog())
        vendor.port, vendor.prefix = int(self.url.rpartition(":")[2]), f"/{name}"
        fields = PROVIDERS[name].settings.model_fields
        secrets = [setting.upper() for setting, field in fields.items() if field.annotation is SecretStr]
        given = {setting: SECRET for setting in secrets if setting in vendor.settings}
        printed = dict(line.split("=", 1) for line in self.output.splitlines() if line.startswith("TOCSIN_"))
        return {**vendor.environment(), **vendor.variables(given), **printed}

    def adapter(self, name: str) -> Provider:
        """Build the adapter from the environment, as bootstrap does."""
        url = f"{api_url(self.tocsin)}/api/v1/receipts/{name}"
        return PROVIDERS[name].build(replace(tools_with(self.transport), receipts_url=lambda _: url))

    async def check_report(self, adapter: Provider, message: OutgoingMessage) -> ProviderAcceptance:
        """Send the message, and check that the vendor reports its delivery in a way that the adapter accepts."""
        sent = await adapter.send(message)
        assert isinstance(sent, ProviderAcceptance)
        [request] = await self.tocsin.wait_for_requests(1)
        path, _, query = request.target.partition("?")
        assert path == f"/api/v1/receipts/{adapter.name}"
        await adapter.prepare_receipts(request.headers, request.body)
        [receipt] = adapter.parse_receipts(request.headers, request.body, query)
        problem = word_problem(adapter.name, "delivered", receipt.kind)
        assert receipt.kind is ReceiptKind.DELIVERED, problem
        assert receipt.attempt_id == message.attempt_id
        assert receipt.provider_message_id == sent.message_id
        await self.until(f"{adapter.name} reports delivered")
        return sent


def api_url(tocsin: EventReceiver) -> str:
    return f"http://127.0.0.1:{tocsin.port}"


@pytest.fixture
async def running_vendors(tmp_path: Path) -> AsyncIterator[RunningVendors]:
    account, browser = tmp_path / "account.json", tmp_path / "browser.json"
    async with open_event_receiver() as tocsin, outgoing_client() as client:
        process = await create_subprocess_exec(
            *(sys.executable, "-m", "examples.vendors", "0"),
            *("--report", api_url(tocsin), "--fcm-account", str(account), "--browser", str(browser)),
            cwd=ROOT,
            stdout=PIPE,
        )
        running_vendors = RunningVendors(process, tocsin, Transport(client), account, browser)
        try:
            running_vendors.url = (await running_vendors.until("listening on ")).removeprefix("listening on ")
            yield running_vendors
        finally:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("name", REPORTING)
async def test_a_message_is_shown_and_reported(
    running_vendors: RunningVendors, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in running_vendors.environment(name).items():
        monkeypatch.setenv(variable, value)
    adapter = running_vendors.adapter(name)
    assert await adapter.check()
    [channel] = adapter.channels
    message, since = MESSAGES[channel], datetime.now(UTC)
    sent = await running_vendors.check_report(adapter, message)
    if adapter.lookup != "none":
        assert [found.message_id for found in await adapter.look_up(message, since)] == [sent.message_id]
    assert "447700900142" in running_vendors.output
    assert SECRET not in running_vendors.output


async def test_an_apns_message_is_shown(running_vendors: RunningVendors) -> None:
    settings = ApnsSettings(
        team_id="TEAM",
        key_id="KEY",
        private_key=SecretStr(pem_of(new_key())),
        topic="com.example.another",
        base_url=f"{running_vendors.url}/apns",
    )
    adapter = Apns(settings, running_vendors.transport)
    assert "accepts the key" in await adapter.check()
    message = outgoing_message(Channel.PUSH, address={"token": "0a1b"}, content={"title": "Grüße", "body": "more"})
    assert await adapter.send(message) == ProviderAcceptance(
        message_id=str(message.attempt_id), response={"status": 200}
    )
    await running_vendors.until("apns: POST /3/device/0a1b")
    await running_vendors.until('"title": "Grüße"')


async def test_an_fcm_message_is_shown(running_vendors: RunningVendors) -> None:
    url = f"{running_vendors.url}/fcm"
    settings = FcmSettings(
        credentials=SecretStr(running_vendors.account.read_text()), base_url=url, token_url=f"{url}/token"
    )
    adapter = Fcm(settings, running_vendors.transport)
    assert "a dry run passed" in await adapter.check()
    sent = await adapter.send(
        outgoing_message(Channel.PUSH, address={"token": "ottos-phone"}, content={"title": "Grüße", "body": "more"})
    )
    assert isinstance(sent, ProviderAcceptance)
    assert str(sent.message_id).startswith("projects/first-type/messages/")
    await running_vendors.until('"token": "ottos-phone"')
    assert "assertion" not in running_vendors.output
    assert "PRIVATE KEY" not in running_vendors.output
    assert running_vendors.account.stat().st_mode & 0o077 == 0


async def test_a_chat_message_is_shown_without_its_url(running_vendors: RunningVendors) -> None:
    adapter = Chat(ChatSettings(base_url=f"{running_vendors.url}/chat"), running_vendors.transport)
    url = "https://hooks.slack.com/services/T1/B1/hammerhead"
    sent = await adapter.send(outgoing_message(Channel.CHAT, address={"url": url}, content={"body": "Grüße"}))
    assert isinstance(sent, ProviderAcceptance)
    await running_vendors.until("Grüße")
    assert "chat: POST" in running_vendors.output
    assert "hammerhead" not in running_vendors.output


async def test_a_web_push_message_is_decrypted_and_reported(running_vendors: RunningVendors) -> None:
    device = json.loads(running_vendors.browser.read_text())
    settings = WebPushSettings(private_key=SecretStr(new_private_key()), subject="mailto:ops@example.com")
    report_url = f"{api_url(running_vendors.tocsin)}/t/p/token"
    message = outgoing_message(
        Channel.WEB_PUSH,
        address={"subscription": device["subscription"]},
        content={"title": "Grüße", "body": "more"},
        report_url=report_url,
    )
    sent = await WebPush(settings, running_vendors.transport).send(message)
    assert isinstance(sent, ProviderAcceptance)
    await running_vendors.until("web_push: POST /push/browser")
    await running_vendors.until('"title": "Grüße"')
    [request] = await running_vendors.tocsin.wait_for_requests(1)
    assert (device["kind"], request.target) == ("web_push", "/t/p/token/delivered")
    assert running_vendors.browser.stat().st_mode & 0o077 == 0


async def test_a_web_push_message_for_another_browser_is_refused(running_vendors: RunningVendors) -> None:
    device = json.loads(running_vendors.browser.read_text())
    settings = WebPushSettings(private_key=SecretStr(new_private_key()), subject="mailto:ops@example.com")
    subscription = {**device["subscription"], "keys": FakeWebPush().subscription("another")["keys"]}
    message = outgoing_message(
        Channel.WEB_PUSH, address={"subscription": subscription}, content={"title": "Hi", "body": "more"}
    )
    with pytest.raises(PermanentError):
        await WebPush(settings, running_vendors.transport).send(message)
    await running_vendors.until("it is not encrypted for this browser")
