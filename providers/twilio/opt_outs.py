"""Parse the replies of recipients to Twilio's numbers: STOP, and START again. Used by `twilio`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt
from providers.sms_message import STOP_WORDS, normalize_reply

# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out: the type, where the service has this enabled.
OPT_OUT_TYPES = {"STOP": ReceiptKind.UNSUBSCRIBED, "START": ReceiptKind.RESUBSCRIBED}
# https://help.twilio.com/articles/223134027: otherwise the keywords that Twilio itself obeys, if the text is only one.
OPT_OUT_KEYWORDS = dict.fromkeys(STOP_WORDS, ReceiptKind.UNSUBSCRIBED) | dict.fromkeys(
    ("START", "YES", "UNSTOP"), ReceiptKind.RESUBSCRIBED
)
PHONE = re.compile(r"\+[1-9][0-9]{3,14}", re.ASCII)


def is_reply(fields: Mapping[str, str]) -> bool:
    """Return whether this is an incoming message and not the status of a sent one:
    https://www.twilio.com/docs/messaging/guides/webhook-request
    """
    return "MessageStatus" not in fields and {"MessageSid", "From", "Body"} <= set(fields)


def parse_opt_outs(fields: Mapping[str, str]) -> list[ProviderReceipt]:
    """Return the opt-out or opt-in of one incoming message. Other texts are not stored, and neither are their
    numbers.
    """
    opt_out_type = fields.get("OptOutType", "")
    kind = OPT_OUT_TYPES.get(opt_out_type) if opt_out_type else OPT_OUT_KEYWORDS.get(normalize_reply(fields["Body"]))
    if kind is None or not PHONE.fullmatch(fields["From"]):
        return []
    raw = {"MessageSid": fields["MessageSid"], "opt_out": kind}
    return [ProviderReceipt(kind=kind, occurred_at=datetime.now(UTC), phone=fields["From"], raw=raw)]
