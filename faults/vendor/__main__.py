"""Run the fake vendors: `python -m faults.vendor PLAN.json`, until SIGTERM."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from faults.vendor.plan import VendorPlan, build_vendors
from faults.vendor.vendor_log import DurableVendorLog
from testing.vendors.http import HOST, VendorListener
from testing.vendors.modes import VendorMode
from testing.vendors.receipts import ReceiptPoster, ReceiptStyle
from testing.vendors.smtp import MailServer

REPORTING_VENDORS = ("sendgrid", "twilio", "web_push")


def events_of(to: str) -> list[str]:
    """Return the events to report, selected by a word in the address or a number's last digit."""
    if "silent" in to or (to.startswith("+") and to.endswith("8")):
        return []
    if "open" in to or (to.startswith("+") and to.endswith("9")):
        return ["delivered", "open"]
    return ["delivered"]


class VendorServers:
    """Serve all vendors of the plan, and the control port: one line of JSON in, one out."""

    def __init__(self, plan: VendorPlan) -> None:
        log = DurableVendorLog(Path(plan.ledger), plan.secret)
        self.reports = ReceiptPoster(events_of=events_of, on_posted=log.receipt)
        self.vendors = build_vendors(plan, log)
        for name in REPORTING_VENDORS:
            self.vendors[name].on_accepted = self.reports.post_events
        self._listeners: dict[str, VendorListener] = {**self.vendors, "smtp": MailServer(login=False, log=log)}
        self._ports = plan.ports

    async def open(self) -> None:
        for name, listener in self._listeners.items():
            listener.port = self._ports[name]
            await listener.start()
        self._control = await asyncio.start_server(self._serve_control, HOST, self._ports["control"])

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
            await self._set_mode(provider, VendorMode(mode))
        if style is not None:
            self.reports.style = ReceiptStyle(style)
        if release:
            self.reports.release()
            for vendor in self.vendors.values():
                vendor.release()

    async def _set_mode(self, provider: str, mode: VendorMode) -> None:
        if provider in self.vendors:
            self.vendors[provider].set_mode(mode)
        if mode is VendorMode.CLOSED:
            await self._listeners[provider].stop()
        else:
            await self._listeners[provider].start()

    def _state(self) -> dict[str, Any]:
        return {
            "held": {name: vendor.held for name, vendor in self.vendors.items()},
            "receipts_due": self.reports.due,
            "complaints": [
                *self.reports.complaints,
                *(text for listener in self._listeners.values() for text in listener.complaints),
            ],
        }


async def main(plan: VendorPlan) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await VendorServers(plan).open()
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(VendorPlan.read(Path(sys.argv[1]))))
