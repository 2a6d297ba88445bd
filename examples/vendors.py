"""Run SendGrid, Twilio and FCM on this machine, to test the real adapters without an account. Prints their requests.

.venv/bin/python examples/vendors.py 9100 --report http://127.0.0.1:8000 --fcm-account fcm.json

It accepts every request of every caller. docs/first-type.md configures a Tocsin to use it. It needs no part of Tocsin;
of the installed packages it needs httpx2, cryptography and twilio.
"""

import argparse
import base64
import json
import os
import threading
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from twilio.request_validator import RequestValidator

REPORT_AFTER_SECONDS = 0.5
# A JWT signed with the service account's key.
SECRET_FIELDS = ("assertion",)


class ReceiptSender:
    """Send `delivered` receipts, signed like those of each vendor."""

    def __init__(self, tocsin: str) -> None:
        self.tocsin = tocsin.rstrip("/")
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """Return the key as SendGrid's page shows it."""
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return base64.b64encode(self.key.public_key().public_bytes(*form)).decode()

    def report_email(self, mail: dict[str, Any], message_id: str) -> None:
        """Report an email: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event"""
        to, now = mail["personalizations"][0]["to"][0]["email"], int(time.time())
        event = {"event": "delivered", "email": to, "timestamp": now, "sg_message_id": f"{message_id}.recvd-1.0"}
        body = json.dumps([event | {"sg_event_id": uuid.uuid4().hex} | mail.get("custom_args", {})]).encode()
        signature = self.key.sign(f"{now}".encode() + body, ec.ECDSA(SHA256()))
        headers = {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Timestamp": str(now),
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        }
        post_receipt("SendGrid", f"{self.tocsin}/api/v1/receipts/sendgrid", body, headers)

    def report_sms(self, form: dict[str, str], sid: str, account: str, token: str) -> None:
        """Report an SMS: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status"""
        url = form["StatusCallback"]
        callback = {"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": account, "To": form["To"]}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": RequestValidator(token).compute_signature(url, callback),
        }
        post_receipt("Twilio", url, urlencode(callback).encode(), headers)


def post_receipt(vendor: str, url: str, body: bytes, headers: dict[str, str]) -> None:
    try:
        outcome = str(httpx2.post(url, content=body, headers=headers, trust_env=False, timeout=30).status_code)
    except httpx2.TransportError as error:
        outcome = type(error).__name__
    print(f"\n{vendor} reports delivered to {url.partition('?')[0]}: {outcome}", flush=True)


class VendorHandler(BaseHTTPRequestHandler):
    """Handle requests; the path determines the vendor."""

    protocol_version = "HTTP/1.1"
    receipt_sender: ReceiptSender | None = None

    def do_GET(self) -> None:
        """Respond to `tocsin providers check`."""
        if self.path == "/v3/scopes":
            self.respond(200, {"scopes": ["mail.send"]})
        elif self.path.startswith("/2010-04-01/Accounts/") and self.path.count("/") == 3:
            self.respond(200, {"status": "active"})
        else:
            self.respond(404, {"error": "not here"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/v3/mail/send":
            self.sendgrid(json.loads(body))
        elif self.path.endswith("/Messages.json"):
            self.twilio(dict(parse_qsl(body.decode())))
        elif self.path == "/token":
            self.print_request("FCM", dict(parse_qsl(body.decode())))
            self.respond(200, {"access_token": "throw-away", "expires_in": 3600, "token_type": "Bearer"})
        elif self.path.endswith("/messages:send"):
            self.print_request("FCM", json.loads(body))
            self.respond(200, {"name": f"{self.path[4:].removesuffix(':send')}/{uuid.uuid4().hex}"})
        else:
            self.respond(404, {"error": "not here"})

    def sendgrid(self, mail: dict[str, Any]) -> None:
        self.print_request("SendGrid", mail)
        message_id = uuid.uuid4().hex
        self.respond(202, None, **{"X-Message-Id": message_id})
        if self.receipt_sender:
            schedule_report(self.receipt_sender.report_email, mail, message_id)

    def twilio(self, form: dict[str, str]) -> None:
        self.print_request("Twilio", form)
        sid = f"SM{uuid.uuid4().hex}"
        self.respond(201, {"sid": sid, "status": "queued", "to": form.get("To"), "num_segments": "1", "price": None})
        credentials = self.headers.get("authorization", "").removeprefix("Basic ")
        account, _, token = base64.b64decode(credentials).decode().partition(":")
        if self.receipt_sender and "StatusCallback" in form:
            schedule_report(self.receipt_sender.report_sms, form, sid, account, token)

    def print_request(self, vendor: str, fields: dict[str, Any]) -> None:
        """Print the body. Headers hold the credentials and are not shown."""
        shown = {name: "…" if name in SECRET_FIELDS else value for name, value in fields.items()}
        print(f"\n{vendor}: POST {self.path}\n{json.dumps(shown, indent=2, ensure_ascii=False)}", flush=True)

    def respond(self, status: int, body: Any, **headers: str) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Print sends, not queries."""


def schedule_report(report: Any, *report_args: Any) -> None:
    """Report after the response, like a vendor."""
    threading.Timer(REPORT_AFTER_SECONDS, report, report_args).start()


def write_account(file: str) -> None:
    """Write a service account in Firebase's format, with a new key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    account = {
        "type": "service_account",
        "project_id": "first-type",
        "private_key_id": uuid.uuid4().hex,
        "private_key": key.private_bytes(*form).decode(),
        "client_email": "tocsin@first-type.example",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(account, out, indent=2)


def main() -> None:
    parser = argparse.ArgumentParser(description="SendGrid, Twilio and FCM on this machine; accepts every request.")
    parser.add_argument("port", type=int, help="0 selects a free port")
    parser.add_argument("--report", metavar="URL", help="send signed receipts to the Tocsin at this URL")
    parser.add_argument("--fcm-account", metavar="FILE", help="write a service account for TOCSIN_FCM_CREDENTIALS_FILE")
    options = parser.parse_args()
    if options.fcm_account:
        write_account(options.fcm_account)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), VendorHandler)
    if options.report:
        VendorHandler.receipt_sender = ReceiptSender(options.report)
        print(f"TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY={VendorHandler.receipt_sender.public_key}", flush=True)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
