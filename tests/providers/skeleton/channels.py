"""State what differs by channel in the templates. Used by `make provider`."""

from collections.abc import Mapping

# Channel → what differs by channel in the templates.
CHANNELS: Mapping[str, Mapping[str, str]] = {
    "email": {
        "label": "email",
        "kind": "Email",
        "sender": "shop@example.com",
        "fields": '"to", "mime", "reference"',
        "address_import": "from email.headerregistry import Address\n",
        "email_imports": """\
from providers.email_fields import email_of, find_address_refusal, find_international_refusal, find_refusal, sender_of
from providers.email_message import build_email
""",
        "sms_imports": "",
        "inbound_imports": "",
        "inbound_kinds": "",
        "send_body": """\
        address = email_of(message)
        unsafe = find_international_refusal(address) or find_address_refusal(address)
        if refusal := unsafe or self.content_refusal(message.content):
            return refusal
        sender = sender_of(message, self._sender, "")
        email = build_email(message, Address(sender.name, addr_spec=sender.email), address)
        body = {
            "to": [address, *message.email.cc, *message.email.bcc],
            "mime": email.as_string(),
            "reference": str(message.attempt_id),
        }
        return await self._post(body)
""",
        "inbound_event": "",
        "inbound_method": "",
        "time_import": "",
        "parser_imports": "from email import message_from_string, policy\n",
        "vendor_email_import": "from testing.vendors.emails import email_of_mime\n",
        "vendor_message": """\
        email = email_of_mime(message_from_string(message["mime"], policy=policy.default), message["to"])
        return VendorMessage(reference=message["reference"], to=message["to"][0], message_id=uuid4().hex, email=email)
""",
        "inbound_body": "",
        "request_checks": """\
    assert request.json["to"] == [message.address["email"]]
    assert request.json["reference"] == str(message.attempt_id)
    email = bench.email()
    assert (email.sender, email.subject, email.text) == (("", SENDER), bench.content["subject"], bench.content["text"])
""",
        "bad_addresses": """\
    bad_addresses = (
        ({"email": "pepé@example.com"}, "international_address_not_supported"),
        ({"email": "ada@example.com <eve@example.com>"}, "invalid_address"),
    )
""",
        "details": "",
    },
    "sms": {
        "label": "SMS",
        "kind": "Sms",
        "sender": "+15005550006",
        "fields": '"from", "to", "text", "reference"',
        "address_import": "",
        "email_imports": "",
        "sms_imports": """\
from providers.sms_message import (
    ANSWER_REFERENCE,
    INBOUND_KINDS,
    build_inbound_receipts,
    find_address_refusal,
    find_refusal,
)
""",
        "inbound_imports": "from domain.inbound_messages import InboundMessage, find_keyword\n",
        "inbound_kinds": " | INBOUND_KINDS",
        "send_body": """\
        if refusal := find_address_refusal(message) or self.content_refusal(message.content):
            return refusal
        to, reference = message.address["phone"], str(message.attempt_id)
        return await self._post(
            {"from": self._sender, "to": to, "text": message.content["text"], "reference": reference}
        )

    async def answer_sms(self, to: str, sender: str, text: str) -> ProviderAcceptance | ProviderRefusal:
        return await self._post({"from": sender, "to": to, "text": text, "reference": ANSWER_REFERENCE})
""",
        "inbound_event": """\
        if event["event"] == "received":
            return self._parse_inbound(event)
        if event["reference"] == ANSWER_REFERENCE:
            return []
""",
        "inbound_method": """
    def _parse_inbound(self, event: Any) -> list[ProviderReceipt]:
        inbound = InboundMessage(
            provider_message_id=event["id"],
            from_number=event["from"],
            to_number=event["to"],
            text=event["text"],
            keyword=find_keyword(event["text"]),
        )
        return build_inbound_receipts(inbound, datetime.fromtimestamp(event["timestamp"], UTC), {"id": event["id"]})
""",
        "time_import": "import time\n",
        "parser_imports": "",
        "vendor_email_import": "",
        "vendor_message": """\
        return VendorMessage(reference=message["reference"], to=message["to"], message_id=uuid4().hex)
""",
        "inbound_body": """\
    def inbound_body(self, sender: str, text: str) -> bytes:
        fields = {"event": "received", "id": uuid4().hex, "from": sender, "to": SENDER, "text": text}
        return json.dumps(fields | {"timestamp": int(time.time())}).encode()

""",
        "request_checks": """\
    assert request.json == {
        "from": SENDER,
        "to": message.address["phone"],
        **bench.content,
        "reference": str(message.attempt_id),
    }
""",
        "bad_addresses": "",
        "details": """\
- The URL for incoming messages is the same, for [SMS of recipients](suppressions.md#messages-of-recipients).
""",
    },
}
