"""Classify the errors of Resend's API. Used by `resend`.

https://resend.com/docs/api-reference/errors. Their messages may quote addresses, so neither reasons nor evidence
contain them.
"""

import re
from collections.abc import Mapping

from domain.repeated_calls import REPEAT_REFUSED
from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.transport import VendorResponse, parse_retry_after, raise_common_errors

VALIDATION_ERROR = "validation_error"
ACCOUNT_REASONS: Mapping[str, str] = {
    "missing_api_key": "credentials_refused",
    "invalid_api_key": "credentials_refused",
    "restricted_api_key": "credentials_refused",
    "invalid_permission": "credentials_refused",
    "suspended_api_key": "account_suspended",
    "daily_quota_exceeded": "quota_exceeded",
    "monthly_quota_exceeded": "quota_exceeded",
    "invalid_from_address": "sender_refused",
}
REFUSAL_REASONS: Mapping[str, str] = {
    "invalid_attachment": "bad_request",
    "invalid_idempotency_key": "bad_request",
    "invalid_parameter": "bad_request",
    "missing_required_field": "bad_request",
    "security_error": "content_refused",
}
# The first request may have been accepted: https://resend.com/docs/dashboard/emails/idempotency-keys
CONFLICT_REASONS: Mapping[str, str] = {
    "concurrent_idempotent_requests": "repeat_in_progress",
    "invalid_idempotent_request": REPEAT_REFUSED,
}
INVALID_KEY = "API key is invalid"
NAMED_FIELD = re.compile(r"Invalid `(\w+)` field")


def parse_refusal(http_response: VendorResponse) -> ProviderRefusal:
    """Return a refusal of this recipient or this message, or raise what else the response proves."""
    name, evidence = error_name(http_response), evidence_of(http_response)
    if http_response.status == 409 and name in CONFLICT_REASONS:
        raise UnknownOutcome(CONFLICT_REASONS[name], evidence, retry_after=retry_delay(http_response))
    raise_account_error(http_response)
    if http_response.status == 429:
        raise TemporaryError("throttled", evidence, retry_after=retry_delay(http_response))
    if http_response.status == 503 and name == "service_unavailable":
        raise TemporaryError("unavailable", evidence, retry_after=retry_delay(http_response))
    raise_common_errors(http_response)
    if http_response.status == 413:
        return ProviderRefusal(reason="too_large", response=evidence)
    if name == VALIDATION_ERROR:
        about_recipient = named_field(http_response) == "to"
        return ProviderRefusal(reason="invalid_address" if about_recipient else "bad_request", response=evidence)
    if reason := REFUSAL_REASONS.get(name):
        return ProviderRefusal(reason=reason, response=evidence)
    raise PermanentError("unexpected_answer", evidence)


def raise_account_error(http_response: VendorResponse) -> None:
    """Raise PermanentError if the account, the key or the sender is the cause."""
    if http_response.status < 400 or http_response.status >= 500:
        return
    name = error_name(http_response)
    reason = ACCOUNT_REASONS.get(name)
    if name == VALIDATION_ERROR and http_response.status == 403:
        # The domain of the sender is not verified, or the sender is that of tests.
        reason = "sender_refused"
    elif name == VALIDATION_ERROR and error_message(http_response) == INVALID_KEY:
        reason = "credentials_refused"
    elif name == VALIDATION_ERROR and named_field(http_response) == "from":
        reason = "sender_refused"
    if reason:
        raise PermanentError(reason, evidence_of(http_response))


def is_sending_key(http_response: VendorResponse) -> bool:
    """Return whether a query was refused because the key may only send."""
    return http_response.status == 401 and error_name(http_response) == "restricted_api_key"


def error_name(http_response: VendorResponse) -> str:
    """Return the name in lower case: one was documented as `invalid_api_Key`."""
    return str(http_response.json().get("name", "")).lower()


def error_message(http_response: VendorResponse) -> str:
    return str(http_response.json().get("message", ""))


def named_field(http_response: VendorResponse) -> str | None:
    """Return the field of the request that a validation error names."""
    found = NAMED_FIELD.match(error_message(http_response))
    return found[1] if found else None


def evidence_of(http_response: VendorResponse) -> dict[str, object]:
    return {"status": http_response.status, "error": error_name(http_response)[:100]}


def retry_delay(http_response: VendorResponse) -> float | None:
    """Return the seconds of `retry-after`, else of `ratelimit-reset`: https://resend.com/docs/api-reference/rate-limit"""
    headers = http_response.headers
    return parse_retry_after(headers) or parse_retry_after({"retry-after": headers.get("ratelimit-reset", "")})
