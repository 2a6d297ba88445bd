"""What people write back to Twilio's numbers: STOP, and START again. Used by `twilio`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from domain.evidence import ReceiptKind
from providers.base import ProviderReceipt

# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out: which it was, where a service has that switched on.
OPT_OUT_TYPES = {"STOP": ReceiptKind.UNSUBSCRIBED, "START": ReceiptKind.RESUBSCRIBED}
# https://help.twilio.com/articles/223134027: else the words that Twilio itself obeys, if they are all there is.
OPT_OUT_KEYWORDS = dict.fromkeys(
    ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"), ReceiptKind.UNSUBSCRIBED
) | dict.fromkeys(("START", "YES", "UNSTOP"), ReceiptKind.RESUBSCRIBED)
NON_LETTERS = re.compile(r"[\W_]+")
PHONE = re.compile(r"\+[1-9][0-9]{3,14}", re.ASCII)


def is_reply(fields: Mapping[str, str]) -> bool:
    """https://www.twilio.com/docs/messaging/guides/webhook-request: a message to us, not the status of one of ours."""
    return "MessageStatus" not in fields and {"MessageSid", "From", "Body"} <= set(fields)


def parse_opt_outs(fields: Mapping[str, str]) -> list[ProviderReceipt]:
    """Of one message to us. What else people write is not kept, nor is their number beside what they want."""
    opt_out_type = fields.get("OptOutType", "")
    kind = (
        OPT_OUT_TYPES.get(opt_out_type)
        if opt_out_type
        else OPT_OUT_KEYWORDS.get(NON_LETTERS.sub("", fields["Body"]).upper())
    )
    if kind is None or not PHONE.fullmatch(fields["From"]):
        return []
    raw = {"MessageSid": fields["MessageSid"], "opt_out": kind}
    return [ProviderReceipt(kind=kind, occurred_at=datetime.now(UTC), phone=fields["From"], raw=raw)]
