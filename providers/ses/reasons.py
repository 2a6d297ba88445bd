"""Map the errors and events of SES to reason codes. Used by `ses`.

Texts of errors and bounces quote addresses, so they are never a reason.
"""

from collections.abc import Mapping

from domain.json_types import Json
from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError
from providers.smtp import reasons
from providers.transport import VendorResponse, parse_retry_after, raise_common_errors

# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors and
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html, whose statuses differ between services.
ACCOUNT_REASONS: Mapping[str, str] = {
    "AccountSuspendedException": "account_suspended",
    "SendingPausedException": "account_suspended",
    "MailFromDomainNotVerifiedException": "sender_not_registered",
    "LimitExceededException": "quota_exceeded",
    # The configuration set.
    "NotFoundException": "server_unsuitable",
    "AccessDeniedException": "credentials_refused",
    "ExpiredTokenException": "credentials_refused",
    "IncompleteSignature": "credentials_refused",
    "InvalidClientTokenId": "credentials_refused",
    "NotAuthorized": "credentials_refused",
    "OptInRequired": "credentials_refused",
    "RequestExpired": "credentials_refused",
    "UnrecognizedClientException": "credentials_refused",
}
MESSAGE_REASONS: Mapping[str, str] = {"MessageRejected": "content_refused", "BadRequestException": "bad_request"}
THROTTLING_CODES = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"})
# https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html
DAILY_QUOTA_TEXT = "daily message quota exceeded"
UNVERIFIED_TEXT = "not verified"

# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html#event-publishing-retrieving-sns-contents-bounce-types
BOUNCE_REASONS: Mapping[str, str] = {
    "NoEmail": "invalid_address",
    "Suppressed": "bounced_before",
    "OnAccountSuppressionList": "bounced_before",
    "MailboxFull": "mailbox_full",
    "MessageTooLarge": "too_large",
    "CustomTimeoutExceeded": "validity_expired",
    "ContentRejected": "content_blocked",
    "AttachmentRejected": "content_blocked",
}
# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html#event-publishing-retrieving-sns-contents-delivery-delay-object
DELAY_REASONS: Mapping[str, str] = {
    "InternalFailure": "technical_failure",
    "General": "unknown_error",
    "MailboxFull": "mailbox_full",
    "SpamDetected": "reputation_blocked",
    "RecipientServerError": "technical_failure",
    "IPFailure": "reputation_blocked",
    "TransientCommunicationFailure": "technical_failure",
    "BYOIPHostNameLookupUnavailable": "technical_failure",
    "SendingDeferral": "unknown_error",
    "Undetermined": "unknown_error",
}


def parse_refusal(http_response: VendorResponse, sender: str) -> ProviderRefusal:
    """Return the refusal of this message. Raises ProviderError for every other response."""
    code, text = error_code(http_response), str(http_response.json().get("message") or "").lower()
    evidence: Json = {"status": http_response.status, "code": code}
    if code in THROTTLING_CODES:
        if DAILY_QUOTA_TEXT in text:
            raise PermanentError("quota_exceeded", evidence)
        raise TemporaryError("throttled", evidence, retry_after=parse_delay(http_response.headers))
    if code in ACCOUNT_REASONS:
        raise PermanentError(ACCOUNT_REASONS[code], evidence)
    if code == "MessageRejected" and UNVERIFIED_TEXT in text:
        # In the vendor's sandbox, recipients need verification too.
        raise PermanentError("sender_not_registered" if sender.lower() in text else "unverified_recipient", evidence)
    raise_common_errors(http_response)
    if code not in MESSAGE_REASONS:
        raise PermanentError("unexpected_answer", evidence)
    return ProviderRefusal(reason=MESSAGE_REASONS[code], response=evidence)


def error_code(http_response: VendorResponse) -> str:
    """Return the code, from any of the places of https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html."""
    body = http_response.json()
    text = str(http_response.headers.get("x-amzn-errortype") or body.get("code") or body.get("__type") or "")
    return text.partition(":")[0].rpartition("#")[2][:100]


def parse_delay(headers: Mapping[str, str]) -> float | None:
    """Return the seconds. AWS states milliseconds in a header of its own, which its SDKs obey."""
    value = headers.get("x-amz-retry-after", "")
    return int(value[:9]) / 1000 if value.isascii() and value.isdigit() else parse_retry_after(headers)


def bounce_reason(bounce: Json, status: str) -> str:
    """Return the reason. Only a permanent bounce proves that the address is invalid, and a general one only without a
    status that names another cause.
    """
    is_permanent = bounce.get("bounceType") == "Permanent"
    subtype = str(bounce.get("bounceSubType"))
    default = "invalid_address" if is_permanent and subtype == "General" else "unknown_error"
    reason = BOUNCE_REASONS.get(subtype) or reasons.find_reason(status) or default
    return "refused_recipient" if reason == "invalid_address" and not is_permanent else reason
