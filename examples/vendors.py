"""Run the fake vendors on this machine, to test the real adapters without an account. Prints their requests.

.venv/bin/python -m examples.vendors 9100 --report http://127.0.0.1:8000 --fcm-account fcm.json --browser browser.json

All print their requests and share one port; the first part of the path is the vendor's name. They accept all
credentials. docs/first-type.md configures a Tocsin to use them.
"""

import argparse
import asyncio
import json
import os
import secrets
from contextlib import suppress
from dataclasses import replace

from testing.vendors.apns import FakeApns
from testing.vendors.chat import FakeChat
from testing.vendors.fcm import FakeFcm
from testing.vendors.http import MULTIPART, HttpListener, Reply, Request, VendorConnection
from testing.vendors.log import VendorCall, VendorLog
from testing.vendors.mailgun import FakeMailgun
from testing.vendors.receipts import ReceiptPoster, VendorReceipt
from testing.vendors.resend import FakeResend
from testing.vendors.sendgrid import FakeSendGrid, shown
from testing.vendors.ses import TOPIC_ARN, FakeSes
from testing.vendors.twilio import FakeTwilio
from testing.vendors.vendor import FakeVendor
from testing.vendors.vonage import FakeVonage
from testing.vendors.web_push import FakeWebPush


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


async def serve(port: int, report: str | None, fcm_account: str | None, browser: str | None) -> None:
    log, poster = PrintingLog(), ReceiptPoster(on_posted=print_receipt)
    sendgrid, twilio = FakeSendGrid(None, log=log), FakeTwilio(token=None, log=log)
    mailgun, vonage = FakeMailgun(None, secrets.token_hex(16), log=log), FakeVonage(api_secret=None, log=log)
    fcm, web_push = FakeFcm(project="first-type", log=log), FakeWebPush(log=log)
    ses, resend, apns = FakeSes(None, log=log), FakeResend(None, log=log), FakeApns(None, log=log)
    reporting: list[FakeVendor] = [sendgrid, mailgun, ses, resend, twilio, vonage]
    listener = VendorPort(port, [*reporting, fcm, apns, web_push, FakeChat(log=log)])
    await listener.start()
    write_secret(fcm_account, fcm.account())
    write_secret(browser, {"kind": "web_push", "subscription": web_push.subscription("browser")})
    if report:
        web_push.on_accepted = poster.post_events
        for vendor in reporting:
            vendor.receipts_url = f"{report.rstrip('/')}/api/v1/receipts/{vendor.name}"
            vendor.on_accepted = poster.post_events
        print(f"TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY={shown(sendgrid.key)}", flush=True)
        print(f"TOCSIN_MAILGUN_WEBHOOK_SIGNING_KEY={mailgun.secret}", flush=True)
        print(f"TOCSIN_SES_TOPIC_ARN={TOPIC_ARN}", flush=True)
        print(f"TOCSIN_VONAGE_WEBHOOK_SECRET={vonage.secret}", flush=True)
        print(f"TOCSIN_RESEND_WEBHOOK_SECRET={resend.secret}", flush=True)
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
