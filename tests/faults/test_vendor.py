"""The fake vendors in a process of their own, as our adapters meet them on every kind of day."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.outgoing import Message
from embedded.datadir import DataDir
from embedded.readiness import accepts
from embedded.stack import CHECKOUT
from providers.base import Provider
from providers.outcomes import Permanent, Temporary, Unknown
from providers.sendgrid import SendGrid, SendGridSettings
from providers.smtp import Smtp, SmtpSettings
from providers.transport import Transport, outgoing_client
from providers.twilio import Twilio, TwilioSettings
from tests.faults.servers import vendors
from tests.faults.surroundings import SENDER, Ports
from tests.faults.vendor.desk import Desk
from tests.faults.vendor.ledger import Copy
from tests.faults.vendor.moods import Mood, Style
from tests.polling import eventually
from tests.providers.harness_http import Reply, Request, read_request
from tests.providers.harness_sendgrid import API_KEY, OURS, shown
from tests.providers.harness_twilio import FROM, SID, TOKEN

BOTH = ("sendgrid", "twilio")
both = pytest.mark.parametrize("name", BOTH)


class Street:
    """The vendors, our adapters to them, and the receipts that came: `answer` is what they are answered."""

    def __init__(self, desk: Desk, ports: Ports, transport: Transport) -> None:
        self.desk = desk
        self.answer = 204
        self.receipts: list[Request] = []
        self.callback = f"{ports.api_url}/api/v1/receipts"
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.vendors.items()}
        grid = SendGridSettings(
            api_key=SecretStr(API_KEY),
            sender=SENDER,
            base_url=urls["sendgrid"],
            webhook_public_key=shown(OURS),
            _env_file=None,
        )
        twilio = TwilioSettings(
            account_sid=SID, auth_token=SecretStr(TOKEN), sender=FROM, base_url=urls["twilio"], _env_file=None
        )
        mail: dict[str, Any] = {"host": "127.0.0.1", "port": ports.vendors["smtp"], "tls": "none", "from": SENDER}
        self.providers: dict[str, Provider] = {
            "sendgrid": SendGrid(grid, transport),
            "twilio": Twilio(twilio, transport, f"{self.callback}/twilio"),
            "smtp": Smtp(SmtpSettings(_env_file=None, **mail)),
        }

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.receipts.append(await read_request(reader))
        writer.write(Reply(status=self.answer).wire)
        writer.close()

    async def kept(self, message: Message) -> int:
        return self.desk.references("kept").count(str(message.attempt_id))

    async def told(self, count: int) -> list[Request]:
        async def came() -> list[Request]:
            return self.receipts

        return await eventually(came, lambda receipts: len(receipts) >= count)

    def kinds(self) -> list[ReceiptKind]:
        """As our adapters read them, signatures checked."""
        found = []
        for receipt in self.receipts:
            path, _, query = receipt.target.partition("?")
            provider = self.providers[path.rpartition("/")[2]]
            found += [one.kind for one in provider.parse_receipts(receipt.headers, receipt.body, query)]
        return found


@pytest.fixture(scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    data, ports = DataDir.at(tmp_path_factory.mktemp("vendor")), Ports.free()
    data.make()
    command = (sys.executable, *vendors(data, ports))
    async with running(command), outgoing_client() as http:
        desk = Desk(ports.vendors["control"], Copy(data.root / "vendor.jsonl"))
        street = Street(desk, ports, Transport(http))
        server = await asyncio.start_server(street.take, "127.0.0.1", ports.api)
        await eventually(lambda: accepts("127.0.0.1", ports.vendors["control"]), bool)
        yield street
        server.close()


@asynccontextmanager
async def running(command: tuple[str, ...]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture(autouse=True)
def nothing_yet(street: Street) -> None:
    street.receipts.clear()
    street.answer = 204


def message(name: str, word: str = "silent") -> Message:
    sms = name == "twilio"
    digit = {"silent": 8, "open": 9}.get(word, 0)
    phone, email = f"+1555{uuid4().int % 1_000_000:06}{digit}", f"{uuid4()}+{word}@example.com"
    return Message(
        attempt_id=uuid4(),
        delivery_id=uuid4(),
        notification_id=uuid4(),
        tenant=UUID(int=7),
        recipient_id="ada",
        notification_type="news",
        created_at=datetime.now(UTC),
        channel=Channel.SMS if sms else Channel.EMAIL,
        endpoint_id="one",
        address={"phone": phone} if sms else {"email": email},
        content={"subject": "Hi", "text": "Hello", "html": "<p>Hello</p>"},
    )


async def found(street: Street, name: str, sent: Message) -> int:
    return len(await street.providers[name].look_up(sent, datetime.now(UTC) - timedelta(minutes=1)))


@pytest.mark.parametrize("name", ["sendgrid", "twilio", "smtp"])
async def test_on_a_good_day_a_message_is_taken_and_written_down_after_its_call(street: Street, name: str) -> None:
    sent = message(name)
    answer = await street.providers[name].send(sent)
    [call, kept] = [entry for entry in street.desk.books() if entry["reference"] == str(sent.attempt_id)]
    assert (call["kind"], kept["kind"], kept["provider"]) == ("call", "kept", name)
    assert call["at"] <= kept["at"]
    assert kept["to"] in sent.address.values()
    assert name == "smtp" or getattr(answer, "message_id", None) == kept["message_id"]


@both
@pytest.mark.parametrize(
    ("mood", "error"),
    [
        (Mood.THROTTLED_SECONDS, Temporary),
        (Mood.THROTTLED_DATE, Temporary),
        (Mood.THROTTLED_ABSURD, Temporary),
        (Mood.THROTTLED_BARE, Temporary),
        (Mood.ERROR, Unknown),
        (Mood.UNAUTHORIZED, Permanent),
        (Mood.REDIRECT, Permanent),
        (Mood.CLOSED, Temporary),
    ],
)
async def test_on_days_on_which_nothing_is_taken(street: Street, name: str, mood: Mood, error: type[Exception]) -> None:
    sent = message(name)
    async with street.desk.day(mood, name):
        with pytest.raises(error):
            await street.providers[name].send(sent)
    assert await street.kept(sent) == 0
    assert await found(street, name, sent) == 0
    await street.providers[name].send(sent)
    assert await street.kept(sent) == 1


@both
@pytest.mark.parametrize("mood", [Mood.TAKEN_500, Mood.TAKEN_RESET])
async def test_on_days_on_which_the_answer_is_lost_the_message_is_found(street: Street, name: str, mood: Mood) -> None:
    sent = message(name)
    async with street.desk.day(mood, name):
        with pytest.raises(Unknown):
            await street.providers[name].send(sent)
        assert await street.kept(sent) == 1
        assert await found(street, name, sent) == 1


@both
@pytest.mark.parametrize("mood", [Mood.TAKEN_HANG, Mood.STALL])
async def test_on_days_on_which_nothing_is_said_the_caller_gives_up(street: Street, name: str, mood: Mood) -> None:
    sent = message(name)
    async with street.desk.day(mood, name):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await street.providers[name].send(sent)
    assert await street.kept(sent) == (mood is Mood.TAKEN_HANG)


@both
async def test_a_documented_status_with_an_endless_body_is_accepted(street: Street, name: str) -> None:
    sent = message(name)
    async with street.desk.day(Mood.FLOOD, name):
        await street.providers[name].send(sent)
    assert await street.kept(sent) == 1


@pytest.mark.parametrize(("name", "error"), [("sendgrid", None), ("twilio", Unknown)])
async def test_an_unreadable_body_is_accepted_where_the_status_is_the_answer(
    street: Street, name: str, error: type[Unknown] | None
) -> None:
    sent = message(name)
    async with street.desk.day(Mood.GARBLED, name):
        with pytest.raises(error) if error else nullcontext():
            await street.providers[name].send(sent)
    assert await street.kept(sent) == 1


@both
async def test_a_byte_at_a_time_is_too_slow_for_anybody(street: Street, name: str) -> None:
    sent = message(name)
    async with street.desk.day(Mood.DRIP, name):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await street.providers[name].send(sent)
    assert await street.kept(sent) == 1


@both
async def test_what_is_held_is_answered_when_the_day_is_over(street: Street, name: str) -> None:
    sent = message(name)
    async with street.desk.day(Mood.HOLD, name):
        sending = asyncio.create_task(street.providers[name].send(sent))
        await street.desk.holds(name, 1)
        assert await street.kept(sent) == 1
        assert not sending.done()
    await sending


async def test_the_mail_server_can_be_away(street: Street) -> None:
    sent = message("smtp")
    async with street.desk.day(Mood.CLOSED, "smtp"):
        with pytest.raises(Temporary):
            await street.providers["smtp"].send(sent)
    assert await street.kept(sent) == 0


@both
async def test_it_reports_what_became_of_a_message_signed(street: Street, name: str) -> None:
    await street.providers[name].send(message(name, "open"))
    await street.told(2)
    assert street.kinds() == [ReceiptKind.DELIVERED, ReceiptKind.OPENED]


@both
async def test_of_some_it_reports_nothing(street: Street, name: str) -> None:
    await street.providers[name].send(message(name, "silent"))
    await street.desk.has_reported()
    assert street.receipts == []


@both
async def test_it_repeats_turns_round_and_withholds_what_it_reports(street: Street, name: str) -> None:
    styles = {
        Style.DUPLICATED: [ReceiptKind.DELIVERED] * 3 + [ReceiptKind.OPENED] * 3,
        Style.REVERSED: [ReceiptKind.OPENED, ReceiptKind.DELIVERED],
    }
    for style, kinds in styles.items():
        street.receipts.clear()
        async with street.desk.reporting(style):
            await street.providers[name].send(message(name, "open"))
            await street.told(len(kinds))
            await street.desk.has_reported()
            assert street.kinds() == kinds
    street.receipts.clear()
    async with street.desk.reporting(Style.WITHHELD):
        await street.providers[name].send(message(name, "open"))
        await street.desk.has_reported()
        assert street.receipts == []
    await street.told(2)


@both
async def test_an_early_receipt_is_there_before_the_answer(street: Street, name: str) -> None:
    async with street.desk.reporting(Style.EARLY):
        await street.providers[name].send(message(name, "good"))
        assert street.kinds() == [ReceiptKind.DELIVERED]


@both
async def test_a_receipt_that_is_not_taken_comes_again(street: Street, name: str) -> None:
    street.answer = 503
    await street.providers[name].send(message(name, "good"))
    await street.told(2)
    street.answer = 204
    await street.desk.has_reported()
    assert set(street.kinds()) == {ReceiptKind.DELIVERED}


async def test_a_refused_receipt_is_complained_of(street: Street) -> None:
    street.answer = 401
    await street.providers["twilio"].send(message("twilio", "good"))
    await street.desk.has_reported()
    assert len((await street.desk.ask())["complaints"]) == 1
