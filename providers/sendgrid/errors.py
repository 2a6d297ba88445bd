"""Classify the errors of SendGrid's send. Used by `adapter`."""

import time

from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError
from providers.transport import VendorResponse, parse_retry_after, raise_common_errors


def parse_refusal(http_response: VendorResponse) -> ProviderRefusal:
    """Parse a refusal.

    https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors and, for statuses,
    https://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html. A 400 that names neither the recipient nor
    the sender is about this message: a retry gets the same response, and other messages pass.
    """
    fields = parse_error_fields(http_response)
    evidence = {"status": http_response.status, "fields": fields}
    if http_response.status == 429:
        raise TemporaryError(
            "throttled",
            evidence,
            retry_after=parse_retry_after(http_response.headers) or parse_reset_delay(http_response),
        )
    if http_response.status == 503:
        raise TemporaryError("unavailable", evidence, retry_after=parse_retry_after(http_response.headers))
    raise_common_errors(http_response)
    if http_response.status == 413:
        return ProviderRefusal(reason="too_large", response=evidence)
    if http_response.status != 400:
        raise PermanentError("unexpected_answer", evidence)
    if any(field.startswith("from") for field in fields):
        raise PermanentError("sender_refused", evidence)
    about_recipient = any(field.startswith("personalizations") and ".to" in field for field in fields)
    return ProviderRefusal(reason="invalid_address" if about_recipient else "bad_request", response=evidence)


def parse_error_fields(http_response: VendorResponse) -> list[str]:
    """Return the request fields that the errors name. Their messages may quote the recipient, so they are not used."""
    errors = http_response.json().get("errors")
    named = [error.get("field") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [field[:100] for field in named if isinstance(field, str)][:20]


def parse_reset_delay(http_response: VendorResponse) -> float | None:
    """Return the seconds until the limit resets, from a Unix time:
    https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
    """
    value = http_response.headers.get("x-ratelimit-reset", "")
    return min(max(1.0, int(value[:12]) - time.time()), 86_400.0) if value.isascii() and value.isdigit() else None
