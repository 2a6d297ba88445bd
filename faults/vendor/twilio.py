"""Simulate Twilio as far as the adapter uses it: sends, the list of messages, signed status callbacks."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from faults.vendor.http import FaultyHttpVendor
from faults.vendor.receipts import ReceiptFormat, ReceiptPoster, ReceiptRequest, VendorMessage
from faults.vendor.vendor_log import VendorLog
from tests.providers.harness_http import Reply, Request
from tests.providers.harness_twilio import ACCOUNT, TOKEN, record, sign

EVENT_NAMES = {"delivered": "delivered", "open": "read"}


class FaultyTwilio(FaultyHttpVendor):
    provider = "twilio"

    def __init__(self, ledger: VendorLog, reports: ReceiptPoster) -> None:
        super().__init__(ledger, reports)
        self._messages: list[dict[str, Any]] = []

    def reference(self, request: Request) -> str:
        return dict(parse_qsl(urlsplit(request.form["StatusCallback"]).query))["attempt"]

    def accept_message(self, request: Request) -> tuple[VendorMessage, Reply]:
        form = request.form
        record_fields = record(form["To"], form["Body"], datetime.now(UTC))
        record_fields["sid"] = self.message_id(record_fields["sid"])
        self._messages.append(record_fields)
        accepted_message = VendorMessage(
            provider=self.provider,
            reference=self.reference(request),
            message_id=record_fields["sid"],
            to=form["To"],
            callback=form["StatusCallback"],
        )
        return accepted_message, Reply(status=201, body=record_fields)

    def lookup_reply(self, request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        if path != f"{ACCOUNT}/Messages.json":
            return Reply(status=404)
        parameters = dict(parse_qsl(query, strict_parsing=True))
        found = [message for message in reversed(self._messages) if message["to"] == parameters["To"]]
        return Reply(status=200, body={"messages": found[: int(parameters["PageSize"])], "next_page_uri": None})


class TwilioReceiptFormat(ReceiptFormat):
    def receipt_request(self, accepted_message: VendorMessage, event: str) -> ReceiptRequest:
        fields = {
            "MessageSid": accepted_message.message_id,
            "MessageStatus": EVENT_NAMES[event],
            "To": accepted_message.to,
        }
        body = urlencode(fields).encode()
        headers = {
            "X-Twilio-Signature": sign(TOKEN, accepted_message.callback, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return ReceiptRequest(url=accepted_message.callback, body=body, headers=headers)
