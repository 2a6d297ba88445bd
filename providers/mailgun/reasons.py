"""Map Mailgun's errors and the failures of its events to reason codes. Used by `mailgun`.

Texts may quote addresses, so they are never reasons themselves.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.json_types import Json
from providers.smtp import reasons as smtp_reasons
from providers.transport import parse_http_date

# https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses, and for 402 ("parameters were valid but
# request failed") https://github.com/mailgun/documentation/blob/master/source/api-intro.rst
STATUS_REASONS: Mapping[int, str] = {402: "unexpected_answer", 404: "account_not_found"}
# Parts of the message of an error, in lower case and without quotes. The examples of
# https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
# and, for an account that is not activated or a sandbox domain,
# https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure
ERROR_REASONS: Mapping[str, str] = {
    "authorized recipients": "unverified_recipient",
    "not allowed to send": "account_suspended",
    "activate your mailgun account": "account_suspended",
    "from parameter": "sender_refused",
    "to parameter is not a valid address": "invalid_address",
    "need at least one of text": "empty_message",
    "send options": "bad_request",
}
QUOTES = re.compile("['\"\u2018\u2019]")
DELAY = re.compile(r"try again after (?:(\d{1,6}) seconds|(.+))")

# https://github.com/mailgun/documentation/blob/master/source/api-stats.rst lists the causes, and
# https://github.com/mailgun/mailgun-mcp-server/blob/main/src/custom-tools/investigate-message-delivery.ts `old`: the
# recipient's server did not take it within the time that Mailgun tries. `bounce` and `generic` have no cause of their
# own: the status of the reply decides.
FAILURE_REASONS: Mapping[str, str] = {
    "suppress-bounce": "bounced_before",
    "suppress-complaint": "complained_before",
    "suppress-unsubscribe": "unsubscribed",
    "old": "validity_expired",
    "espblock": "reputation_blocked",
}


def error_reason(text: Any) -> str | None:
    normalized = QUOTES.sub("", str(text)).lower()
    return next((reason for part, reason in ERROR_REASONS.items() if part in normalized), None)


def parse_delay(text: str) -> float | None:
    """Return the seconds until a limit ends: a number or a time, as in `try again after 120 seconds`."""
    if (found := DELAY.search(text)) is None:
        return None
    if found[1]:
        return float(found[1])
    end = parse_http_date(found[2])
    return None if end is None else max(1.0, (end - datetime.now(UTC)).total_seconds())


def receipt_reason(event: Json) -> str | None:
    """Return why a message failed, was rejected or is delayed; None for other events and unknown causes."""
    if event["event"] == "rejected":
        return error_reason(event.get("reject", {}).get("reason"))
    if event["event"] != "failed":
        return None
    status = event.get("delivery-status", {})
    code = status.get("enhanced-code") or status.get("bounce-code")
    return FAILURE_REASONS.get(str(event.get("reason"))) or smtp_reasons.find_reason(str(code))
