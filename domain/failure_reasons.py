"""Define the closed vocabulary of reasons why a message was not accepted or did not arrive.

Adapters map their vendor's terms to these codes. `domain/suppressions.py` lists those that suppress an address.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.stored_enums import StoredEnum


class ReasonCategory(StoredEnum):
    """Where the cause lies: with this recipient, the content, the account at the provider, or a network, server or
    phone that was not reachable."""

    RECIPIENT = "recipient"
    CONTENT = "content"
    ACCOUNT = "account"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class FailureReason:
    """Describe a code. `counts`: it indicates trouble at the provider and counts for its circuit."""

    category: ReasonCategory
    text: str
    counts: bool = False


R, C, A, U = ReasonCategory

REASONS: dict[str, FailureReason] = {
    # This address, number, token or URL. No other message is affected.
    "invalid_address": FailureReason(R, "the address is not valid"),
    "unknown_number": FailureReason(R, "the number is not in service"),
    "not_a_mobile_number": FailureReason(R, "the number is not a mobile number"),
    "landline": FailureReason(R, "the number is a landline, or its carrier takes no text messages"),
    "mailbox_full": FailureReason(R, "the mailbox is full"),
    "mailbox_disabled": FailureReason(R, "the mailbox is disabled"),
    "mailbox_unavailable": FailureReason(R, "the mailbox is unavailable"),
    "greylisted": FailureReason(R, "the recipient's server asks for a later attempt"),
    "opted_out": FailureReason(R, "the recipient has opted out"),
    "unsubscribed": FailureReason(R, "the recipient has unsubscribed"),
    "bounced_before": FailureReason(R, "an earlier message bounced"),
    "complained_before": FailureReason(R, "the recipient complained about an earlier message"),
    "blocked": FailureReason(R, "the recipient or the carrier blocks this sender"),
    "refused_recipient": FailureReason(R, "the recipient is refused"),
    "refused_by_policy": FailureReason(R, "the recipient's server refuses it by policy"),
    "chat_not_found": FailureReason(R, "the chat or its URL does not exist any more"),
    "unregistered": FailureReason(R, "the app is not registered on the device any more"),
    "invalid_token": FailureReason(R, "the device token is not valid"),
    "sender_mismatch": FailureReason(R, "the device token belongs to another app, project or key"),
    "international_address_not_supported": FailureReason(R, "the server does not support international addresses"),
    # This message. Other messages to the same recipient pass.
    "bad_request": FailureReason(C, "the provider does not accept the message"),
    "content_blocked": FailureReason(C, "the content was filtered"),
    "attachment_deleted": FailureReason(C, "an attachment was deleted before the email was sent"),
    "content_refused": FailureReason(C, "the content is refused"),
    "contains_api_key": FailureReason(C, "the text looks like an API key"),
    "empty_message": FailureReason(C, "the text is empty"),
    "empty_subject": FailureReason(C, "the subject is empty"),
    "repeat_refused": FailureReason(C, "the repeated request differs from the first one"),
    "too_large": FailureReason(C, "the message is too large"),
    "too_long": FailureReason(C, "the text is too long"),
    # The account or the settings, which the operator must correct.
    "credentials_refused": FailureReason(A, "the credentials are refused", counts=True),
    "account_not_found": FailureReason(A, "the account does not exist", counts=True),
    "account_suspended": FailureReason(A, "the account is suspended", counts=True),
    "quota_exceeded": FailureReason(A, "the account's quota or balance is used up", counts=True),
    "sender_refused": FailureReason(A, "the sender is refused", counts=True),
    "sender_not_registered": FailureReason(A, "the sender is not registered", counts=True),
    "apple_or_web_credentials_refused": FailureReason(A, "the credentials for Apple or web push are refused"),
    "callback_url_refused": FailureReason(A, "the callback URL is refused", counts=True),
    "messaging_service_empty": FailureReason(A, "the messaging service has no sender", counts=True),
    "feature_not_enabled": FailureReason(A, "the account lacks a feature that the message needs", counts=True),
    "region_not_enabled": FailureReason(A, "the account may not send to this region"),
    "unverified_recipient": FailureReason(A, "a trial account may send to verified numbers only"),
    "reputation_blocked": FailureReason(A, "the sender's reputation is too low"),
    "too_many_messages": FailureReason(A, "the account sends too much or too often"),
    "blocked_by_fraud_rule": FailureReason(A, "a fraud rule of the provider or of its account blocks the message"),
    "price_limit_exceeded": FailureReason(A, "the message costs more than the account allows"),
    "canceled_at_provider": FailureReason(A, "it was canceled in the provider's account"),
    "relay_denied": FailureReason(A, "the server does not relay for us", counts=True),
    "server_refused": FailureReason(A, "the server refuses us", counts=True),
    "server_unsuitable": FailureReason(A, "the server lacks what the settings demand", counts=True),
    "login_not_offered": FailureReason(A, "the server offers no login", counts=True),
    "starttls_not_offered": FailureReason(A, "the server offers no STARTTLS", counts=True),
    "redirected": FailureReason(A, "the provider's address redirects", counts=True),
    "unexpected_answer": FailureReason(A, "the answer is not one that the provider documents", counts=True),
    "not_configured": FailureReason(A, "no process has this provider in its settings"),
    # A network, a server or a phone.
    "unreachable": FailureReason(U, "the phone is off or out of reach"),
    "queue_full": FailureReason(U, "the provider's queue was full"),
    "validity_expired": FailureReason(U, "it expired before it could be delivered"),
    "technical_failure": FailureReason(U, "a technical failure on the way"),
    "unknown_error": FailureReason(U, "the provider names no cause"),
    "throttled": FailureReason(U, "the provider is rate-limiting"),
    "device_throttled": FailureReason(U, "the device got too many messages in a short time"),
    "repeat_in_progress": FailureReason(U, "the provider is still working on the first request"),
    "too_early": FailureReason(U, "the receiver is not ready"),
    "timeout": FailureReason(U, "no answer came in time", counts=True),
    "connect_failed": FailureReason(U, "no connection", counts=True),
    "connection_reset": FailureReason(U, "the connection was reset", counts=True),
    "connection_lost": FailureReason(U, "the connection was lost", counts=True),
    "server_error": FailureReason(U, "the server reported an error", counts=True),
    "unavailable": FailureReason(U, "the provider is not available", counts=True),
    "token_unavailable": FailureReason(U, "no access token can be fetched", counts=True),
    "token_expired": FailureReason(U, "the access token has expired", counts=True),
    "malformed_response": FailureReason(U, "the answer cannot be read", counts=True),
    "undocumented_success": FailureReason(U, "the answer is not the success that the provider documents", counts=True),
}

# Reasons of outcomes without a response from a provider.
OWN_TEXTS = {
    "attachments_busy": "the process has too many messages with attachments in memory",
    "copies_not_checked": "the suppression list could not be read for the copies",
    "attachments_not_loaded": "the attachments could not be read from the database",
    "stalled": "the process stood still before the call",
    "worker_lost": "the process was lost during the call",
    "restored": "the database was restored to a state before the call",
    "repeat_too_late": "the provider may not recognize a repeated request any more",
    "proved_absent": "the provider does not have it",
}
# `status_404`: the status of the recipient's own endpoint.
ENDPOINT_STATUS = "status_"


def category_of_code(code: str | None) -> ReasonCategory | None:
    if code is None:
        return None
    if code.startswith(ENDPOINT_STATUS):
        return ReasonCategory.RECIPIENT
    return REASONS[code].category if code in REASONS else None


def code_text(code: str) -> str:
    """Return the meaning of the code; return a code that is not listed unchanged."""
    return REASONS[code].text if code in REASONS else OWN_TEXTS.get(code, code)


def counts_for_circuit(code: str | None) -> bool:
    """Return whether an error with this code indicates trouble at the provider. A code that is not listed does."""
    return code not in REASONS or REASONS[code].counts


# No message of any recipient passes. Other reasons of the account may depend on the sender, the recipient or the
# region.
WHOLE_ACCOUNT_CODES = frozenset({"credentials_refused", "account_not_found", "account_suspended", "quota_exceeded"})


def affects_whole_account(code: str | None) -> bool:
    return code in WHOLE_ACCOUNT_CODES


def is_account_code(code: str | None) -> bool:
    return category_of_code(code) is ReasonCategory.ACCOUNT


def dominant_code(codes: Iterable[str | None]) -> str | None:
    """Return the same code in any order of arrival: by category, then by name."""
    order = list(ReasonCategory)
    known = {code for code in codes if code}
    return min(
        known, key=lambda code: (order.index(c) if (c := category_of_code(code)) else len(order), code), default=None
    )
