"""Test the adapters against the fake vendors in a process of their own, in every mode."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from embedded.datadir import DataDir
from embedded.readiness import accepts_connections
from faults.environment import Ports
from faults.servers import vendors
from faults.vendor.control import VendorControl
from faults.vendor.vendor_log import VendorLogReader
from providers.outcomes import PermanentError, TemporaryError, UnknownOutcome
from providers.transport import Transport, outgoing_client
from testing.vendors.modes import VendorMode
from testing.vendors.receipts import ReceiptStyle
from tests.faults.faulty_vendors import FaultyVendors, running
from tests.outgoing_messages import outgoing_message
from tests.polling import eventually

BOTH = ("sendgrid", "twilio")
both = pytest.mark.parametrize("name", BOTH)


@pytest.fixture(scope="module")
async def faulty_vendors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultyVendors]:
    data, ports = DataDir.at(tmp_path_factory.mktemp("vendor")), Ports.free()
    data.make()
    command = (sys.executable, *vendors(data, ports))
    async with running(command), outgoing_client() as http:
        vendor_control = VendorControl(ports.vendors["control"], VendorLogReader(data.root / "vendor.jsonl"))
        faulty_vendors = FaultyVendors(vendor_control, ports, Transport(http))
        server = await asyncio.start_server(faulty_vendors.take, "127.0.0.1", ports.api)
        await eventually(lambda: accepts_connections("127.0.0.1", ports.vendors["control"]), bool)
        yield faulty_vendors
        server.close()


@pytest.fixture(autouse=True)
def clean_vendors(faulty_vendors: FaultyVendors) -> None:
    faulty_vendors.receipts.clear()
    faulty_vendors.receipt_status = 204


def message(name: str, word: str = "silent") -> OutgoingMessage:
    if name == "twilio":
        digit = {"silent": 8, "open": 9}.get(word, 0)
        return outgoing_message(Channel.SMS, address={"phone": f"+1555{uuid4().int % 1_000_000:06}{digit}"})
    return outgoing_message(address={"email": f"{uuid4()}+{word}@example.com"})


async def found(faulty_vendors: FaultyVendors, name: str, sent: OutgoingMessage) -> int:
    return len(await faulty_vendors.providers[name].look_up(sent, datetime.now(UTC) - timedelta(minutes=1)))


@pytest.mark.parametrize("name", ["sendgrid", "twilio", "smtp"])
async def test_an_accepted_message_is_logged_after_its_call(faulty_vendors: FaultyVendors, name: str) -> None:
    sent = message(name)
    result = await faulty_vendors.providers[name].send(sent)
    [call, kept] = [
        entry
        for entry in faulty_vendors.vendor_control.calls_and_messages()
        if entry["reference"] == str(sent.attempt_id)
    ]
    assert (call["kind"], kept["kind"], kept["provider"]) == ("call", "kept", name)
    assert call["at"] <= kept["at"]
    assert kept["to"] in sent.address.values()
    assert name == "smtp" or getattr(result, "message_id", None) == kept["message_id"]


@both
@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (VendorMode.THROTTLES_SECONDS, TemporaryError),
        (VendorMode.THROTTLES_DATE, TemporaryError),
        (VendorMode.THROTTLES_ABSURD, TemporaryError),
        (VendorMode.THROTTLES_BARE, TemporaryError),
        (VendorMode.FAILS, UnknownOutcome),
        (VendorMode.BREAKS, PermanentError),
        (VendorMode.REDIRECTS, PermanentError),
        (VendorMode.CLOSED, TemporaryError),
    ],
)
async def test_a_vendor_that_accepts_nothing_has_no_message(
    faulty_vendors: FaultyVendors, name: str, mode: VendorMode, error: type[Exception]
) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(mode, name):
        with pytest.raises(error):
            await faulty_vendors.providers[name].send(sent)
    assert await faulty_vendors.kept(sent) == 0
    assert await found(faulty_vendors, name, sent) == 0
    await faulty_vendors.providers[name].send(sent)
    assert await faulty_vendors.kept(sent) == 1


@both
@pytest.mark.parametrize("mode", [VendorMode.ACCEPTS_AND_FAILS, VendorMode.LOSES])
async def test_a_message_with_a_lost_response_is_found(
    faulty_vendors: FaultyVendors, name: str, mode: VendorMode
) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(mode, name):
        with pytest.raises(UnknownOutcome):
            await faulty_vendors.providers[name].send(sent)
        assert await faulty_vendors.kept(sent) == 1
        assert await found(faulty_vendors, name, sent) == 1


@both
@pytest.mark.parametrize("mode", [VendorMode.ACCEPTS_AND_HANGS, VendorMode.HANGS])
async def test_a_caller_gives_up_when_the_vendor_is_silent(
    faulty_vendors: FaultyVendors, name: str, mode: VendorMode
) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(mode, name):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await faulty_vendors.providers[name].send(sent)
    assert await faulty_vendors.kept(sent) == (mode is VendorMode.ACCEPTS_AND_HANGS)


@both
async def test_a_documented_status_with_an_endless_body_is_accepted(faulty_vendors: FaultyVendors, name: str) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(VendorMode.FLOODS, name):
        await faulty_vendors.providers[name].send(sent)
    assert await faulty_vendors.kept(sent) == 1


@pytest.mark.parametrize(("name", "error"), [("sendgrid", None), ("twilio", UnknownOutcome)])
async def test_an_unreadable_body_is_accepted_where_the_status_decides(
    faulty_vendors: FaultyVendors, name: str, error: type[UnknownOutcome] | None
) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(VendorMode.GARBLES, name):
        with pytest.raises(error) if error else nullcontext():
            await faulty_vendors.providers[name].send(sent)
    assert await faulty_vendors.kept(sent) == 1


@both
async def test_a_dripping_response_exceeds_every_deadline(faulty_vendors: FaultyVendors, name: str) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(VendorMode.DRIPS, name):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await faulty_vendors.providers[name].send(sent)
    assert await faulty_vendors.kept(sent) == 1


@both
async def test_a_held_call_gets_a_response_when_the_mode_ends(faulty_vendors: FaultyVendors, name: str) -> None:
    sent = message(name)
    async with faulty_vendors.vendor_control.with_mode(VendorMode.HOLDS, name):
        sending = asyncio.create_task(faulty_vendors.providers[name].send(sent))
        await faulty_vendors.vendor_control.wait_for_held_calls(name, 1)
        assert await faulty_vendors.kept(sent) == 1
        assert not sending.done()
    await sending


async def test_the_mail_server_can_be_unavailable(faulty_vendors: FaultyVendors) -> None:
    sent = message("smtp")
    async with faulty_vendors.vendor_control.with_mode(VendorMode.CLOSED, "smtp"):
        with pytest.raises(TemporaryError):
            await faulty_vendors.providers["smtp"].send(sent)
    assert await faulty_vendors.kept(sent) == 0


@both
async def test_the_vendor_posts_signed_receipts(faulty_vendors: FaultyVendors, name: str) -> None:
    await faulty_vendors.providers[name].send(message(name, "open"))
    await faulty_vendors.wait_for_receipts(2)
    assert faulty_vendors.receipt_kinds() == [ReceiptKind.DELIVERED, ReceiptKind.OPENED]


@both
async def test_some_contact_points_get_no_receipts(faulty_vendors: FaultyVendors, name: str) -> None:
    await faulty_vendors.providers[name].send(message(name, "silent"))
    await faulty_vendors.vendor_control.wait_until_reported()
    assert faulty_vendors.receipts == []


@both
async def test_the_vendor_repeats_reverses_and_withholds_receipts(faulty_vendors: FaultyVendors, name: str) -> None:
    styles = {
        ReceiptStyle.DUPLICATED: [ReceiptKind.DELIVERED] * 3 + [ReceiptKind.OPENED] * 3,
        ReceiptStyle.REVERSED: [ReceiptKind.OPENED, ReceiptKind.DELIVERED],
    }
    for style, kinds in styles.items():
        faulty_vendors.receipts.clear()
        async with faulty_vendors.vendor_control.reporting(style):
            await faulty_vendors.providers[name].send(message(name, "open"))
            await faulty_vendors.wait_for_receipts(len(kinds))
            await faulty_vendors.vendor_control.wait_until_reported()
            assert faulty_vendors.receipt_kinds() == kinds
    faulty_vendors.receipts.clear()
    async with faulty_vendors.vendor_control.reporting(ReceiptStyle.WITHHELD):
        await faulty_vendors.providers[name].send(message(name, "open"))
        await faulty_vendors.vendor_control.wait_until_reported()
        assert faulty_vendors.receipts == []
    await faulty_vendors.wait_for_receipts(2)


@both
async def test_an_early_receipt_precedes_the_response(faulty_vendors: FaultyVendors, name: str) -> None:
    async with faulty_vendors.vendor_control.reporting(ReceiptStyle.EARLY):
        await faulty_vendors.providers[name].send(message(name, "good"))
        assert faulty_vendors.receipt_kinds() == [ReceiptKind.DELIVERED]


@both
async def test_an_unaccepted_receipt_is_repeated(faulty_vendors: FaultyVendors, name: str) -> None:
    faulty_vendors.receipt_status = 503
    await faulty_vendors.providers[name].send(message(name, "good"))
    await faulty_vendors.wait_for_receipts(2)
    faulty_vendors.receipt_status = 204
    await faulty_vendors.vendor_control.wait_until_reported()
    assert set(faulty_vendors.receipt_kinds()) == {ReceiptKind.DELIVERED}


async def test_a_refused_receipt_is_recorded_as_a_complaint(faulty_vendors: FaultyVendors) -> None:
    faulty_vendors.receipt_status = 401
    await faulty_vendors.providers["twilio"].send(message("twilio", "good"))
    await faulty_vendors.vendor_control.wait_until_reported()
    assert len((await faulty_vendors.vendor_control.send_command())["complaints"]) == 1
