"""Test that the fake vendors of push, web push and chat log each call and message by what Tocsin's rows know."""

import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from config.sources import PREFIX
from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from domain.tracking import TraceSigner, TrackedAction
from embedded.datadir import DataDir
from embedded.readiness import accepts_connections
from faults.environment import Ports, accounts, secret_key
from faults.servers import vendors
from faults.type_specs import device_owner, devices_of, new_recipient
from faults.vendor.control import PUSH_AND_CHAT, VendorControl
from faults.vendor.keys import AUTHORITY, vendor_keys
from faults.vendor.plan import FAILING_TOKEN
from faults.vendor.vendor_log import VendorLogReader
from providers.base import Provider
from providers.http2 import Http2Transport, http2_client
from providers.outcomes import PermanentError, ProviderAcceptance, UnknownOutcome
from providers.registry import available_providers
from providers.transport import Transport, outgoing_client
from testing.vendors.modes import VendorMode
from testing.vendors.web_push import FakeWebPush
from tests.faults.faulty_vendors import running
from tests.outgoing_messages import outgoing_message
from tests.polling import eventually
from tests.providers.harness import tools_with

TENANT, NUMBER = 1, 7
OWNER = device_owner(NUMBER)


class PushVendors:
    """Hold the vendors, the adapters with the settings of a worker, and the addresses of one recipient."""

    def __init__(self, data: DataDir, ports: Ports, transport: Transport, http2: Transport) -> None:
        self.vendor_control = VendorControl(ports.vendors["control"], VendorLogReader(data.root / "vendor.jsonl"))
        self.signer = TraceSigner(secret_key(data).encode())
        context = replace(tools_with(transport), http2_transport=http2)
        self.providers: dict[str, Provider] = {
            name: available_providers()[name].build(context) for name in PUSH_AND_CHAT
        }
        browser = FakeWebPush(browser_key=vendor_keys().browser, secret=vendor_keys().browser_secret)
        browser.port = ports.vendors["web_push"]
        devices = devices_of(TENANT, OWNER, browser)
        self.addresses: dict[str, dict[str, Any]] = {
            "fcm": {"token": devices["android"]["token"]},
            "apns": {"token": devices["iphone"]["token"]},
            "web_push": {"subscription": devices["browser"]["subscription"]},
            "chat": {"url": new_recipient(TENANT, NUMBER, "")["chat_url"]},
        }

    def message(self, name: str, **changed: Any) -> OutgoingMessage:
        channel = Channel.PUSH if name in ("fcm", "apns") else Channel(name)
        fields = {"address": self.addresses[name], "content": {"title": "Hi", "body": "Hello"}, **changed}
        message = outgoing_message(channel, **fields)
        action = TrackedAction(kind=ReceiptKind.DELIVERED, attempt_id=message.attempt_id, provider=name)
        return replace(message, report_url=f"http://127.0.0.1:1/t/p/{self.signer.token(action)}")

    def entries(self, name: str, reference: str) -> list[dict[str, Any]]:
        logged = self.vendor_control.calls_and_messages()
        return [entry for entry in logged if (entry["provider"], entry["reference"]) == (name, reference)]


@pytest.fixture(scope="module")
async def push_vendors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PushVendors]:
    data, ports = DataDir.at(tmp_path_factory.mktemp("vendor")), Ports.free()
    data.make()
    command = (sys.executable, *vendors(data, ports))
    tls = ssl.create_default_context(cafile=data.root / AUTHORITY)
    async with running(command), outgoing_client() as http, http2_client(tls) as http2:
        with pytest.MonkeyPatch.context() as patch:
            for setting, value in accounts(ports).items():
                patch.setenv(f"{PREFIX}{setting}", value)
            push_vendors = PushVendors(data, ports, Transport(http), Http2Transport(http2))
        await eventually(lambda: accepts_connections("127.0.0.1", ports.vendors["control"]), bool)
        yield push_vendors


@pytest.mark.parametrize("name", PUSH_AND_CHAT)
async def test_an_accepted_message_is_logged_after_its_call(push_vendors: PushVendors, name: str) -> None:
    message = push_vendors.message(name)
    assert isinstance(await push_vendors.providers[name].send(message), ProviderAcceptance)
    reference = f"recipient-{NUMBER}" if name == "chat" else str(message.attempt_id)
    call, kept = push_vendors.entries(name, reference)[-2:]
    assert (call["kind"], call["mode"], kept["kind"]) == ("call", "good", "kept")
    assert call["at"] <= kept["at"]
    assert (f"recipient-{NUMBER}-" if name == "chat" else f"{OWNER}-") in kept["to"]


@pytest.mark.parametrize("name", PUSH_AND_CHAT)
async def test_a_message_with_a_lost_response_is_logged(push_vendors: PushVendors, name: str) -> None:
    message = push_vendors.message(name)
    async with push_vendors.vendor_control.with_mode(VendorMode.LOSES, name):
        with pytest.raises(UnknownOutcome):
            await push_vendors.providers[name].send(message)
    assert push_vendors.vendor_control.ledger.of("kept", name)[-1]["provider"] == name
    assert push_vendors.vendor_control.ledger.of("call", name)[-1]["mode"] == "loses"


@pytest.mark.parametrize("name", PUSH_AND_CHAT)
async def test_a_vendor_that_redirects_keeps_nothing(push_vendors: PushVendors, name: str) -> None:
    before = len(push_vendors.vendor_control.ledger.of("kept", name))
    async with push_vendors.vendor_control.with_mode(VendorMode.REDIRECTS, name):
        with pytest.raises(PermanentError):
            await push_vendors.providers[name].send(push_vendors.message(name))
    assert len(push_vendors.vendor_control.ledger.of("kept", name)) == before


async def test_the_calls_to_some_tokens_fail(push_vendors: PushVendors) -> None:
    message = push_vendors.message("fcm", address={"token": f"{FAILING_TOKEN}-{OWNER}-1"})
    with pytest.raises(UnknownOutcome):
        await push_vendors.providers["fcm"].send(message)
    assert [entry["kind"] for entry in push_vendors.entries("fcm", str(message.attempt_id))] == ["call"]
