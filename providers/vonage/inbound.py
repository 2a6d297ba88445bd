"""Parse the messages that recipients send to Vonage's numbers. Used by `vonage`."""

from datetime import datetime

from domain.inbound_messages import InboundMessage, find_keyword
from domain.json_types import Json
from providers.base import ProviderReceipt
from providers.sms_message import build_inbound_receipts

# https://developer.vonage.com/en/opt-out-assist/technical-details. Vonage forwards the words that it obeys.
START_WORDS = frozenset({"JOIN"})
# A reply by WhatsApp or Viber also comes from a number, but says nothing about SMS.
PHONE_CHANNELS = frozenset({"sms", "mms"})


def parse_inbound(event: Json, occurred_at: datetime) -> list[ProviderReceipt]:
    """Return one incoming message, unless its sender is no phone number.

    https://developer.vonage.com/en/api/messages#inbound-message
    """
    if event["channel"] not in PHONE_CHANNELS:
        return []
    message_id, text = event["message_uuid"], event.get("text", "")
    inbound = InboundMessage(
        provider_message_id=message_id,
        from_number=event["from"],
        to_number=event["to"],
        text=text,
        keyword=find_keyword(text, START_WORDS),
    )
    return build_inbound_receipts(inbound, occurred_at, {"message_uuid": message_id})
