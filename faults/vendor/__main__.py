"""Run the fake vendors: `python -m faults.vendor PLAN.json`, until SIGTERM."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from faults.vendor.http import FaultyHttpVendor
from faults.vendor.mail import FaultyMailServer
from faults.vendor.modes import FaultyVendorMode, ReceiptStyle
from faults.vendor.receipts import ReceiptPoster
from faults.vendor.sendgrid import FaultySendGrid, SendGridReceiptFormat
from faults.vendor.twilio import FaultyTwilio, TwilioReceiptFormat
from faults.vendor.vendor_log import VendorLog

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class VendorPlan:
    """Hold `ports` by provider and `control`. `key` is the private key, as PEM, that signs SendGrid's events;
    `callback` is their target.
    """

    ports: dict[str, int]
    ledger: str
    key: str
    callback: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "VendorPlan":
        return cls(**json.loads(path.read_text()))


class ReopenableListener:
    """Listen on a socket that can be closed, and reopened at the same port."""

    def __init__(self, listen: Callable[[], Coroutine[Any, Any, asyncio.Server]]) -> None:
        self._listen = listen
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        if self._server is None:
            self._server = await self._listen()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


class VendorServers:
    """Serve all vendors of the plan, and the control port: one line of JSON in, one out."""

    def __init__(self, plan: VendorPlan) -> None:
        key = load_pem_private_key(plan.key.encode(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        ledger = VendorLog(Path(plan.ledger))
        receipt_formats = {"sendgrid": SendGridReceiptFormat(key), "twilio": TwilioReceiptFormat()}
        self.reports = ReceiptPoster(ledger=ledger, receipt_formats=receipt_formats)
        self.vendors: dict[str, FaultyHttpVendor] = {
            "sendgrid": FaultySendGrid(ledger, self.reports, plan.callback),
            "twilio": FaultyTwilio(ledger, self.reports),
        }
        self.mail = FaultyMailServer(vendor_log=ledger)
        self._ports = plan.ports
        self._listeners = {
            name: ReopenableListener(self._http(name, vendor.serve)) for name, vendor in self.vendors.items()
        }
        self._listeners["smtp"] = ReopenableListener(self._smtp)
        self._control = ReopenableListener(self._http("control", self._serve_control))

    def _http(self, name: str, serve: Any) -> Callable[[], Coroutine[Any, Any, asyncio.Server]]:
        return lambda: asyncio.start_server(serve, HOST, self._ports[name])

    async def _smtp(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self.mail.connect, HOST, self._ports["smtp"])

    async def open(self) -> None:
        for listener in (*self._listeners.values(), self._control):
            await listener.open()

    async def _serve_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        await self._execute(**order)
        writer.write(json.dumps(self._state()).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def _execute(
        self, mode: str | None = None, provider: str = "", style: str | None = None, release: bool = False
    ) -> None:
        if mode is not None:
            await self._set_mode(provider, FaultyVendorMode(mode))
        if style is not None:
            self.reports.style = ReceiptStyle(style)
        if release:
            self.reports.release()
            for vendor in self.vendors.values():
                vendor.release()

    async def _set_mode(self, provider: str, mode: FaultyVendorMode) -> None:
        if provider in self.vendors:
            self.vendors[provider].mode = mode
        if mode is FaultyVendorMode.CLOSED:
            self._listeners[provider].close()
        else:
            await self._listeners[provider].open()

    def _state(self) -> dict[str, Any]:
        return {
            "held": {name: vendor.held for name, vendor in self.vendors.items()},
            "receipts_due": self.reports.due,
            "complaints": self.reports.complaints + self.mail.complaints,
        }


async def main(plan: VendorPlan) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await VendorServers(plan).open()
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(VendorPlan.read(Path(sys.argv[1]))))
