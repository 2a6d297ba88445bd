"""Parse the messages that recipients send to Vonage's numbers. Used by `vonage`."""

import re
from datetime import datetime

from domain.inbound_messages import InboundMessage, find_keyword
from domain.json_types import Json
from domain.vendor_values import clean_id, clean_raw
from providers.base import ProviderReceipt
from providers.sms_message import build_inbound_receipt

# https://developer.vonage.com/en/opt-out-assist/technical-details. Vonage forwards the words that it obeys.
START_WORDS = frozenset({"JOIN"})
# A reply by WhatsApp or Viber also comes from a number, but says nothing about SMS.
PHONE_CHANNELS = frozenset({"sms", "mms"})
NUMBER = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)


def parse_inbound(event: Json, occurred_at: datetime) -> list[ProviderReceipt]:
    """Return one incoming message, unless its sender is no phone number.

    https://developer.vonage.com/en/api/messages#inbound-message
    """
    channel, sender, message_id, text = event["channel"], event["from"], event["message_uuid"], event.get("text", "")
    keyword = find_keyword(text, START_WORDS)
    if channel not in PHONE_CHANNELS or not NUMBER.fullmatch(sender):
        return []
    to = event["to"]
    inbound = InboundMessage(
        provider_message_id=clean_id(message_id),
        from_number=f"+{sender}",
        to_number=clean_raw(f"+{to}" if NUMBER.fullmatch(to) else to),
        text=clean_raw(text),
        keyword=keyword,
    )
    return [build_inbound_receipt(inbound, occurred_at, {"message_uuid": message_id})]
