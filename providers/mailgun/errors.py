"""Classify the errors of Mailgun's send. Used by `adapter`."""

from domain.failure_reasons import is_account_code
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import reason_without_address
from providers.mailgun.reasons import STATUS_REASONS, error_reason, parse_delay
from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError
from providers.transport import VendorResponse, parse_retry_after, raise_common_errors

# 420 is a limit of recipients per hour: https://github.com/mailgun/mailgun-java/issues/50
THROTTLED_STATUSES = (420, 429)


def parse_refusal(http_response: VendorResponse, message: OutgoingMessage) -> ProviderRefusal:
    """Parse a refusal. The text of a 400 decides whether it is about the account or this message."""
    status, text = http_response.status, str(http_response.json().get("message"))
    evidence = {"status": status}
    if status in THROTTLED_STATUSES:
        retry_after = parse_retry_after(http_response.headers) or parse_delay(text)
        raise TemporaryError("throttled", evidence, retry_after=retry_after)
    reason = error_reason(text) if 400 <= status < 500 else None
    if reason and is_account_code(reason):
        raise PermanentError(reason, evidence)
    if status in STATUS_REASONS:
        raise PermanentError(STATUS_REASONS[status], evidence)
    raise_common_errors(http_response)
    if status == 413:
        return ProviderRefusal(reason="too_large", response=evidence)
    if status != 400 or reason is None:
        raise PermanentError("unexpected_answer", evidence)
    # The form has one list of addresses.
    return ProviderRefusal(reason=reason_without_address(message, reason), response=evidence)
