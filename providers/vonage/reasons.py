"""Map Vonage's error codes to reason codes. Used by `vonage`."""

from collections.abc import Mapping

from domain.json_types import Json

# https://developer.vonage.com/en/api-errors/messages: of a request and of a status callback, without codes of other
# channels.
REASONS: Mapping[str, str] = {
    "1000": "throttled",
    "1010": "bad_request",
    "1020": "bad_request",
    "1030": "technical_failure",
    "1040": "bad_request",
    "1050": "blocked",
    "1060": "account_suspended",
    "1070": "quota_exceeded",
    "1080": "feature_not_enabled",
    "1090": "too_long",
    "1100": "technical_failure",
    "1120": "sender_refused",
    "1130": "bad_request",
    "1140": "feature_not_enabled",
    "1150": "bad_request",
    "1160": "unverified_recipient",
    "1170": "invalid_address",
    "1180": "unreachable",
    "1190": "unknown_number",
    "1200": "technical_failure",
    "1210": "content_blocked",
    "1220": "unreachable",
    "1230": "technical_failure",
    "1240": "opted_out",
    "1241": "too_many_messages",
    "1250": "unreachable",
    "1251": "region_not_enabled",
    "1260": "unreachable",
    "1270": "content_blocked",
    "1280": "blocked",
    "1282": "content_blocked",
    "1290": "refused_recipient",
    "1300": "refused_recipient",
    "1310": "refused_recipient",
    "1320": "bad_request",
    "1330": "unknown_error",
    "1331": "technical_failure",
    "1360": "validity_expired",
    "1400": "bad_request",
    "1410": "bad_request",
    "1420": "sender_refused",
    "1430": "invalid_address",
    "1440": "bad_request",
    "1450": "bad_request",
    "1460": "too_many_messages",
    "1470": "blocked_by_fraud_rule",
    "1472": "blocked_by_fraud_rule",
    "1473": "blocked_by_fraud_rule",
    "1474": "blocked_by_fraud_rule",
    "1475": "blocked_by_fraud_rule",
    "1476": "sender_refused",
    "1480": "sender_not_registered",
    "1481": "sender_not_registered",
    "1482": "content_refused",
    "1483": "refused_recipient",
    "1484": "sender_not_registered",
    "2001": "blocked_by_fraud_rule",
}
# https://developer.vonage.com/en/api-errors: errors of every API, by the end of their type.
GENERIC_REASONS: Mapping[str, str] = {
    "account-suspended": "account_suspended",
    "forbidden": "feature_not_enabled",
    "low-balance": "quota_exceeded",
    "unprovisioned": "feature_not_enabled",
}
# https://developer.vonage.com/en/api/messages: the examples of a 422 have older codes, which mean something else in the
# list of codes. Their titles are unambiguous.
TITLE_REASONS: Mapping[str, str] = {
    "Unsupported channel": "bad_request",
    "Invalid channel parameters": "bad_request",
    "Invalid sender": "sender_refused",
    "Invalid recipient": "invalid_address",
    "Invalid message type": "bad_request",
    "Invalid params": "bad_request",
    "Invalid client reference": "bad_request",
    "The request body did not contain valid JSON": "bad_request",
}


def find_code(error: Json) -> str:
    """Return the code: the title of a callback's error, otherwise the end of the error's type, which is a URL."""
    title = str(error.get("title"))
    return title if title.isdigit() else str(error.get("type")).partition("#")[2]


def find_refusal_reason(error: Json) -> str | None:
    """Return the reason code of a refused request, or None for an error that Vonage does not document."""
    code = find_code(error)
    return TITLE_REASONS.get(str(error.get("title"))) or GENERIC_REASONS.get(code) or REASONS.get(code)
