"""Classify the errors of Twilio's send. Used by `adapter`."""

from domain.failure_reasons import is_account_code
from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError
from providers.transport import VendorResponse, parse_retry_after, raise_common_errors
from providers.twilio.reasons import REASONS, RETRYABLE_REASONS


def parse_refusal(http_response: VendorResponse) -> ProviderRefusal:
    """Map a refusal by its code first: some refusals of one number have the status of a refused account.

    A code that is in no table concerns this message.
    """
    code = http_response.json().get("code")
    code = code if isinstance(code, int) and 400 <= http_response.status < 500 else 0
    evidence = {"status": http_response.status, "code": code}
    reason = REASONS.get(code)
    if reason in RETRYABLE_REASONS:
        raise TemporaryError("throttled", evidence, retry_after=parse_retry_after(http_response.headers))
    if reason is not None and is_account_code(reason):
        raise PermanentError(reason, evidence)
    if reason is not None:
        return ProviderRefusal(reason=reason, response=evidence)
    raise_common_errors(http_response)
    if http_response.status == 400:
        return ProviderRefusal(reason="bad_request", response=evidence)
    raise PermanentError("unexpected_answer", evidence)
