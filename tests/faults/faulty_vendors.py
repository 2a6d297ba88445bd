"""Run the fake vendors in a process of their own, with the adapters that call them and a receiver of receipts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from embedded.stack import CHECKOUT
from faults.environment import SENDER, Ports
from faults.vendor.control import VendorControl
from faults.vendor.keys import vendor_keys
from providers.base import Provider
from providers.sendgrid.adapter import SendGrid
from providers.sendgrid.settings import SendGridSettings
from providers.smtp.adapter import Smtp
from providers.smtp.settings import SmtpSettings
from providers.transport import Transport
from providers.twilio.adapter import Twilio
from providers.twilio.settings import TwilioSettings
from testing.vendors.http import Reply, Request, read_request
from testing.vendors.sendgrid import API_KEY, shown
from testing.vendors.twilio import FROM, SID, TOKEN
from tests.polling import eventually


class FaultyVendors:
    """Hold the vendors, the adapters, and the received receipts. `receipt_status` is the status that receipts get."""

    def __init__(self, vendor_control: VendorControl, ports: Ports, transport: Transport) -> None:
        self.vendor_control = vendor_control
        self.receipt_status = 204
        self.receipts: list[Request] = []
        self.callback = f"{ports.api_url}/api/v1/receipts"
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.vendors.items()}
        grid = SendGridSettings(
            api_key=SecretStr(API_KEY),
            sender=SENDER,
            base_url=urls["sendgrid"],
            webhook_public_key=shown(vendor_keys().sendgrid),
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
        writer.write(Reply(status=self.receipt_status).wire)
        writer.close()

    async def kept(self, message: OutgoingMessage) -> int:
        return self.vendor_control.references("kept").count(str(message.attempt_id))

    async def wait_for_receipts(self, count: int) -> list[Request]:
        async def received() -> list[Request]:
            return self.receipts

        return await eventually(received, lambda receipts: len(receipts) >= count)

    def receipt_kinds(self) -> list[ReceiptKind]:
        """Return the kinds as parsed by the adapters, with verified signatures."""
        found = []
        for receipt in self.receipts:
            path, _, query = receipt.target.partition("?")
            provider = self.providers[path.rpartition("/")[2]]
            found += [one.kind for one in provider.parse_receipts(receipt.headers, receipt.body, query)]
        return found


@asynccontextmanager
async def running(command: tuple[str, ...]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
