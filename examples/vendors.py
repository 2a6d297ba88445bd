"""Run the fake vendors on this machine, to test the real adapters without an account. Prints their requests.

.venv/bin/python -m examples.vendors 9100 --report http://127.0.0.1:8000 --fcm-account fcm.json --browser browser.json

All print their requests and share one port; the first part of the path is the vendor's name. They accept all
credentials. docs/first-type.md configures a Tocsin to use them.
"""

import argparse
import asyncio
import json
import os
from contextlib import suppress
from dataclasses import replace

from testing.vendors.chat import FakeChat
from testing.vendors.fcm import FakeFcm
from testing.vendors.http import MULTIPART, HttpListener, Reply, Request, VendorConnection
from testing.vendors.log import VendorCall, VendorLog
from testing.vendors.receipts import ReceiptPoster, VendorReceipt
from testing.vendors.registry import find_vendors
from testing.vendors.vendor import FakeVendor
from testing.vendors.web_push import FakeWebPush
from testing.vendors.webhook import FakeWebhook


class PrintingLog(VendorLog):
    """Print the bodies of sends. Headers hold the credentials and are not shown."""

    def call(self, name: str, call: VendorCall) -> None:
        if (request := call.request) is not None:
            decrypted = call.message.content if call.message else None
            body = json.dumps(decrypted or read_body(request), indent=2, ensure_ascii=False)
            path = "" if name == FakeChat.name else f" {request.path}"  # the path of a chat is its secret
            print(f"\n{name}: {request.method}{path}\n{body}", flush=True)


def read_body(request: Request) -> object:
    content_type = request.headers.get("content-type", "")
    if content_type.startswith(MULTIPART):
        return [[name, value.decode(errors="replace")] for name, value in request.multipart]
    if content_type == "application/octet-stream":
        return f"{len(request.body)} bytes"
    return request.json if content_type == "application/json" else request.form


class VendorPort(HttpListener):
    """Serve all vendors on one port."""

    def __init__(self, port: int, vendors: list[FakeVendor]) -> None:
        self.port = port
        self.complaints = []
        self.vendors = {vendor.name: vendor for vendor in vendors}

    async def start(self) -> None:
        await super().start()
        for name, vendor in self.vendors.items():
            vendor.port, vendor.prefix = self.port, f"/{name}"

    async def handle(self, request: Request, connection: VendorConnection) -> None:
        name, _, target = request.target.removeprefix("/").partition("/")
        if (vendor := self.vendors.get(name)) is None:
            return connection.write(Reply(status=404, body={"error": f"vendors: {', '.join(self.vendors)}"}))
        await vendor.handle(replace(request, target=f"/{target}"), connection)
        for complaint in vendor.complaints:
            print(f"\nundocumented request: {complaint}", flush=True)
        return vendor.complaints.clear()


def print_receipt(receipt: VendorReceipt, status: int) -> None:
    url = receipt.message.callback or receipt.vendor.receipts_url
    print(f"\n{receipt.vendor.name} reports {receipt.event} to {url.partition('?')[0]}: {status}", flush=True)


def write_secret(file: str | None, value: object) -> None:
    """Write the value, if there is a file for it."""
    if file is not None:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            json.dump(value, out, indent=2)


def report_to(vendor: FakeVendor, url: str, poster: ReceiptPoster) -> None:
    """Post the vendor's receipts to the Tocsin at this URL, and print the settings that verify them."""
    if not vendor.reports():
        return
    vendor.receipts_url = f"{url.rstrip('/')}/api/v1/receipts/{vendor.name}"
    vendor.on_accepted = poster.post_events
    for name, value in vendor.variables(vendor.receipt_settings()).items():
        print(f"{name}={value}", flush=True)


async def serve(port: int, report: str | None, fcm_account: str | None, browser: str | None) -> None:
    log, poster = PrintingLog(), ReceiptPoster(on_posted=print_receipt)
    fcm, web_push = FakeFcm.stand_in(log), FakeWebPush.stand_in(log)
    own_vendors = {FakeFcm, FakeWebPush, FakeWebhook}  # a webhook goes to the URL of its recipient
    vendors = [vendor.stand_in(log) for vendor in find_vendors().values() if vendor not in own_vendors]
    listener = VendorPort(port, [*vendors, fcm, web_push])
    await listener.start()
    write_secret(fcm_account, fcm.account())
    write_secret(browser, {"kind": "web_push", "subscription": web_push.subscription("browser")})
    if report:
        web_push.on_accepted = poster.post_events
        for vendor in vendors:
            report_to(vendor, report, poster)
    print(f"listening on http://127.0.0.1:{listener.port}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Vendors on this machine; they accept all credentials.")
    parser.add_argument("port", type=int, help="0 selects a free port")
    parser.add_argument("--report", metavar="URL", help="send signed receipts to the Tocsin at this URL")
    parser.add_argument("--fcm-account", metavar="FILE", help="write a service account for TOCSIN_FCM_CREDENTIALS_FILE")
    parser.add_argument("--browser", metavar="FILE", help="write a web push device, for PUT …/devices/browser")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.report, options.fcm_account, options.browser))


if __name__ == "__main__":
    main()
