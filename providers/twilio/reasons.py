"""Map Twilio's error codes to reason codes. Used by `twilio`."""

from collections.abc import Mapping

# https://www.twilio.com/docs/api/errors: of the request (2xxxx), and of an accepted message (3xxxx). Codes about an
# account are raised: the recipient is not at fault, and another provider may send the message.
REASONS: Mapping[int, str] = {
    20003: "credentials_refused",
    20404: "account_not_found",
    20429: "throttled",
    21211: "invalid_address",
    21212: "sender_refused",
    21214: "unreachable",
    21217: "invalid_address",
    21265: "invalid_address",
    21266: "invalid_address",
    21267: "sender_refused",
    21268: "invalid_address",
    21408: "region_not_enabled",
    21602: "empty_message",
    21603: "sender_refused",
    21606: "sender_refused",
    21608: "unverified_recipient",
    21609: "callback_url_refused",
    21610: "opted_out",
    21611: "queue_full",
    21612: "unreachable",
    21614: "not_a_mobile_number",
    21617: "too_long",
    21619: "empty_message",
    21635: "landline",
    21659: "sender_refused",
    21660: "sender_refused",
    21661: "sender_refused",
    21703: "messaging_service_empty",
    21704: "messaging_service_empty",
    30001: "queue_full",
    30002: "account_suspended",
    30003: "unreachable",
    30004: "blocked",
    30005: "unknown_number",
    30006: "landline",
    30007: "content_blocked",
    30008: "unknown_error",
    30009: "technical_failure",
    30010: "price_limit_exceeded",
    30017: "technical_failure",
    30018: "sender_not_registered",
    30019: "too_large",
    30022: "too_many_messages",
    30023: "quota_exceeded",
    30024: "sender_not_registered",
    30027: "quota_exceeded",
    30032: "sender_not_registered",
    30034: "sender_not_registered",
    30035: "sender_not_registered",
    30036: "validity_expired",
    30038: "content_blocked",
    30410: "technical_failure",
    30500: "technical_failure",
}
# Errors of a request: the queue for the sender's number is full, or there are too many requests. Nothing was queued.
RETRYABLE_REASONS = frozenset({"queue_full", "throttled"})


def find_failure_reason(callback: Mapping[str, str]) -> str:
    """Return the reason code for an undelivered message: https://www.twilio.com/docs/messaging/api/message-resource"""
    code = callback.get("ErrorCode", "")
    known = REASONS.get(int(code)) if code.isascii() and code.isdigit() else None
    return known or ("canceled_at_provider" if callback.get("MessageStatus") == "canceled" else "unknown_error")
