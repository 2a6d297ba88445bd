"""Process entry of the fake vendors: `python -m tests.faults.vendor PLAN.json`, until SIGTERM."""

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

from tests.faults.vendor.http import HttpVendor
from tests.faults.vendor.ledger import Ledger
from tests.faults.vendor.mail import MailVendor
from tests.faults.vendor.moods import Mood, Style
from tests.faults.vendor.reports import Reports
from tests.faults.vendor.sendgrid import SendGridReporter, SendGridVendor
from tests.faults.vendor.twilio import TwilioReporter, TwilioVendor

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`ports` by provider, and `control`; `key` is the private half that signs SendGrid's events, as PEM; `callback`
    is where those go."""

    ports: dict[str, int]
    ledger: str
    key: str
    callback: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Plan":
        return cls(**json.loads(path.read_text()))


class Door:
    """A listening socket that can be closed, and opened again at the same port."""

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


class Street:
    """All vendors of the plan, and the control port: one line of JSON in, one out."""

    def __init__(self, plan: Plan) -> None:
        key = load_pem_private_key(plan.key.encode(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        ledger = Ledger(Path(plan.ledger))
        reporters = {"sendgrid": SendGridReporter(key), "twilio": TwilioReporter()}
        self.reports = Reports(ledger=ledger, reporters=reporters)
        self.vendors: dict[str, HttpVendor] = {
            "sendgrid": SendGridVendor(ledger, self.reports, plan.callback),
            "twilio": TwilioVendor(ledger, self.reports),
        }
        self.mail = MailVendor(books=ledger)
        self._ports = plan.ports
        self._doors = {name: Door(self._http(name, vendor.serve)) for name, vendor in self.vendors.items()}
        self._doors["smtp"] = Door(self._smtp)
        self._control = Door(self._http("control", self._obey))

    def _http(self, name: str, serve: Any) -> Callable[[], Coroutine[Any, Any, asyncio.Server]]:
        return lambda: asyncio.start_server(serve, HOST, self._ports[name])

    async def _smtp(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self.mail.connect, HOST, self._ports["smtp"])

    async def open(self) -> None:
        for door in (*self._doors.values(), self._control):
            await door.open()

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        await self._do(**order)
        writer.write(json.dumps(self._state()).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def _do(
        self, mood: str | None = None, provider: str = "", style: str | None = None, release: bool = False
    ) -> None:
        if mood is not None:
            await self._set_mood(provider, Mood(mood))
        if style is not None:
            self.reports.style = Style(style)
        if release:
            self.reports.release()
            for vendor in self.vendors.values():
                vendor.release()

    async def _set_mood(self, provider: str, mood: Mood) -> None:
        if provider in self.vendors:
            self.vendors[provider].mood = mood
        if mood is Mood.CLOSED:
            self._doors[provider].close()
        else:
            await self._doors[provider].open()

    def _state(self) -> dict[str, Any]:
        return {
            "held": {name: vendor.held for name, vendor in self.vendors.items()},
            "receipts_due": self.reports.due,
            "complaints": self.reports.complaints + self.mail.complaints,
        }


async def main(plan: Plan) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Street(plan).open()
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(Plan.read(Path(sys.argv[1]))))
