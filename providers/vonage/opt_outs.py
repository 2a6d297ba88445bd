"""Parse the incoming messages of recipients at Vonage: STOP, and START again. Used by `vonage`."""

import re
from datetime import datetime

from domain.evidence import ReceiptKind
from domain.json_types import Json
from providers.base import ProviderReceipt
from providers.sms_message import STOP_WORDS, normalize_reply

# https://developer.vonage.com/en/opt-out-assist/technical-details. Vonage forwards the words that it obeys.
OPT_OUT_WORDS = dict.fromkeys(STOP_WORDS, ReceiptKind.UNSUBSCRIBED) | dict.fromkeys(
    ("START", "JOIN", "UNSTOP"), ReceiptKind.RESUBSCRIBED
)
# A reply by WhatsApp or Viber also comes from a number, but says nothing about SMS.
PHONE_CHANNELS = frozenset({"sms", "mms"})
SENDER = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)


def parse_opt_out(event: Json, occurred_at: datetime) -> list[ProviderReceipt]:
    """Return the opt-out or opt-in of one incoming message. Other texts are not stored, and neither are their numbers.

    https://developer.vonage.com/en/api/messages#inbound-message
    """
    channel, sender, message_id = event["channel"], event["from"], event["message_uuid"]
    kind = OPT_OUT_WORDS.get(normalize_reply(event.get("text", "")))
    if kind is None or channel not in PHONE_CHANNELS or not SENDER.fullmatch(sender):
        return []
    raw = {"message_uuid": message_id, "opt_out": kind}
    return [ProviderReceipt(kind=kind, occurred_at=occurred_at, phone=f"+{sender}", raw=raw)]
