"""Simulate SendGrid as far as the adapter uses it: sends, the Email Activity, signed events."""

import base64
import json
import time
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from faults.vendor.http import FaultyHttpVendor
from faults.vendor.receipts import ReceiptFormat, ReceiptPoster, ReceiptRequest, VendorMessage
from faults.vendor.vendor_log import VendorLog
from providers.sendgrid.adapter import SIGNATURE_HEADER, TIMESTAMP_HEADER
from providers.sendgrid.lookup import REFERENCE
from tests.providers.harness_http import Reply, Request
from tests.providers.harness_sendgrid import QUERY


class FaultySendGrid(FaultyHttpVendor):
    provider = "sendgrid"

    def __init__(self, ledger: VendorLog, reports: ReceiptPoster, callback: str) -> None:
        super().__init__(ledger, reports)
        self._callback = callback
        self._activity: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def reference(self, request: Request) -> str:
        return str(request.json["custom_args"][REFERENCE])

    def accept_message(self, request: Request) -> tuple[VendorMessage, Reply]:
        [[to]] = [person["to"] for person in request.json["personalizations"]]
        accepted_message = VendorMessage(
            provider=self.provider,
            reference=self.reference(request),
            message_id=self.message_id(uuid4().hex),
            to=to["email"],
            callback=self._callback,
        )
        self._activity[accepted_message.reference].append(
            {
                "msg_id": f"{accepted_message.message_id}.recvd-5f-1.0",
                "to_email": accepted_message.to,
                "status": "processed",
            }
        )
        return accepted_message, Reply(status=202, headers={"X-Message-Id": accepted_message.message_id})

    def lookup_reply(self, request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        match = QUERY.fullmatch(dict(parse_qsl(query)).get("query", ""))
        if path != "/v3/messages" or match is None:
            return Reply(status=404)
        return Reply(status=200, body={"messages": self._activity[match[1]]})


class SendGridReceiptFormat(ReceiptFormat):
    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key

    def receipt_request(self, accepted_message: VendorMessage, event: str) -> ReceiptRequest:
        event_fields = {
            "email": accepted_message.to,
            "event": event,
            "timestamp": int(time.time()),
            "sg_event_id": uuid4().hex,
            "sg_message_id": f"{accepted_message.message_id}.recvd-5f-1.0",
            REFERENCE: accepted_message.reference,
        }
        body, timestamp = json.dumps([event_fields]).encode() + b"\r\n", str(int(time.time()))
        signature = base64.b64encode(self._key.sign(timestamp.encode() + body, ECDSA(SHA256()))).decode()
        return ReceiptRequest(
            url=accepted_message.callback, body=body, headers={TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}
        )
