"""Classify the replies of a server: about the recipient or message, the account, or a later attempt."""

import re
from collections.abc import Mapping

import aiosmtplib

from domain.failure_reasons import is_account_code
from domain.json_types import Json
from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError
from providers.smtp.reasons import STORAGE_EXCEEDED, find_reason, find_retry_reason

# https://www.rfc-editor.org/rfc/rfc4954#section-6: the server requires a login, or rejects this one.
LOGIN_ERROR_CODES = frozenset({530, 534, 535, 538})
# Servers have no common code for a refusal to relay: Postfix and Sendmail use 5.7.1, as for a policy about one
# recipient, Exchange 5.7.54, Exim no enhanced code at all.
RELAY_DENIED_PATTERN = re.compile(
    r"\brelay(ing)? (access )?(is )?(denied|prohibited|not (permitted|allowed))"
    r"|\b(unable|not \w+) to relay|\bnot relay",
    re.IGNORECASE,
)
# Required features that the server does not offer, by the texts of aiosmtplib, which has one class for these errors.
MISSING_EXTENSIONS: Mapping[str, str] = {
    "AUTH extension": "login_not_offered",
    "authentication method": "login_not_offered",
    "STARTTLS extension": "starttls_not_offered",
}
TEXT_LIMIT = 200


def parse_refusal(
    error: aiosmtplib.SMTPResponseException, address: str, default_reason: str = "refused_recipient"
) -> ProviderRefusal:
    """Return a refusal of this recipient or message. Raises ProviderError for replies about the account or for a later
    attempt.
    """
    if error.code in LOGIN_ERROR_CODES:
        raise parse_server_error(error) from error
    text = redact(address, error.message)
    evidence: Json = {"code": error.code, "text": text}
    if retry_reason := find_retry_reason(
        error.code, error.message, is_recipient_reply=default_reason == "refused_recipient"
    ):
        raise TemporaryError(retry_reason, evidence) from error
    if RELAY_DENIED_PATTERN.search(text):
        raise PermanentError("relay_denied", evidence) from error
    reason = find_reason(error.message) or ("too_large" if error.code == STORAGE_EXCEEDED else default_reason)
    if is_account_code(reason):
        raise PermanentError(reason, evidence) from error
    return ProviderRefusal(reason=reason, response=evidence)


def parse_server_error(error: aiosmtplib.SMTPResponseException) -> TemporaryError | PermanentError:
    """Map a reply before the recipient was named, or unrelated to the recipient: it concerns every message."""
    evidence: Json = {"code": error.code}
    if error.code < 500:
        return TemporaryError("unavailable", evidence)
    if error.code in LOGIN_ERROR_CODES or isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return PermanentError("credentials_refused", evidence)
    sender = isinstance(error, aiosmtplib.SMTPSenderRefused)
    return PermanentError("sender_refused" if sender else "server_refused", evidence)


def parse_unsuitable_server(error: aiosmtplib.SMTPException) -> PermanentError:
    missing = next((reason for words, reason in MISSING_EXTENSIONS.items() if words in error.message), None)
    return PermanentError(missing or "server_unsuitable", {"error": type(error).__name__})


def redact(address: str, text: str) -> str:
    return text.replace(address, "…")[:TEXT_LIMIT]
