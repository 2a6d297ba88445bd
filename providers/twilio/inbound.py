"""Parse the messages that recipients send to Twilio's numbers. Used by `twilio`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.inbound_messages import InboundMessage, Keyword, find_keyword, is_phone_number
from providers.base import ProviderReceipt
from providers.sms_message import build_inbound_receipts

# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out: the type, where the service has this enabled. Twilio
# then obeys and answers the words that are set there.
OPT_OUT_TYPES = {"STOP": Keyword.STOP, "START": Keyword.START, "HELP": Keyword.HELP}
# https://help.twilio.com/articles/223134027: otherwise Twilio itself obeys and answers these words, if the text is
# exactly one of them, at each number but a short code.
TWILIO_WORDS = frozenset(
    {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "START", "YES", "UNSTOP"}
    | {"HELP", "INFO"}
)
START_WORDS = frozenset({"YES"})


def is_inbound(fields: Mapping[str, str]) -> bool:
    """Return whether this is an incoming message and not the status of a sent one:
    https://www.twilio.com/docs/messaging/guides/webhook-request
    """
    return "MessageStatus" not in fields and {"MessageSid", "From", "Body"} <= set(fields)


def parse_inbound(fields: Mapping[str, str], *, answers_keywords: bool) -> list[ProviderReceipt]:
    """Return one incoming message, unless its sender is no phone number. `answers_keywords`: as in its settings."""
    text, to_number, opt_out_type = fields["Body"], fields.get("To", ""), fields.get("OptOutType", "")
    is_default_answer = answers_keywords and text.strip().upper() in TWILIO_WORDS and is_phone_number(to_number)
    inbound = InboundMessage(
        provider_message_id=fields["MessageSid"],
        from_number=fields["From"],
        to_number=to_number,
        text=text,
        keyword=OPT_OUT_TYPES.get(opt_out_type) if opt_out_type else find_keyword(text, START_WORDS),
        is_answered=bool(opt_out_type) or is_default_answer,
    )
    return build_inbound_receipts(inbound, datetime.now(UTC), {"MessageSid": fields["MessageSid"]})
