"""Map the enhanced status codes of mail systems, in replies and vendors' events. Used by adapters of email."""

import re
from collections.abc import Mapping

# https://www.iana.org/assignments/smtp-enhanced-status-codes (RFC 3463, RFC 5248 and their extensions), without the
# class: 5 is permanent, 4 is temporary.
REASONS: Mapping[str, str] = {
    "1.0": "refused_recipient",
    "1.1": "invalid_address",
    "1.2": "invalid_address",
    "1.3": "invalid_address",
    "1.4": "invalid_address",
    "1.6": "invalid_address",
    "1.7": "sender_refused",
    "1.8": "sender_refused",
    "1.9": "invalid_address",
    "1.10": "invalid_address",
    "2.0": "mailbox_unavailable",
    "2.1": "mailbox_disabled",
    "2.2": "mailbox_full",
    "2.3": "too_large",
    "2.4": "mailbox_unavailable",
    "3.0": "technical_failure",
    "3.1": "technical_failure",
    "3.2": "technical_failure",
    "3.3": "technical_failure",
    "3.4": "too_large",
    "3.5": "technical_failure",
    "3.6": "bad_request",
    "4.0": "technical_failure",
    "4.1": "technical_failure",
    "4.2": "technical_failure",
    "4.3": "technical_failure",
    "4.4": "technical_failure",
    "4.5": "technical_failure",
    "4.6": "technical_failure",
    "4.7": "validity_expired",
    "5.0": "refused_recipient",
    "5.1": "technical_failure",
    "5.2": "technical_failure",
    "5.3": "technical_failure",
    "5.4": "technical_failure",
    "5.5": "technical_failure",
    "5.6": "technical_failure",
    "6.0": "content_refused",
    "6.1": "content_refused",
    "6.2": "content_refused",
    "6.3": "content_refused",
    "6.4": "content_refused",
    "6.5": "content_refused",
    "6.6": "content_refused",
    "6.7": "international_address_not_supported",
    "6.8": "international_address_not_supported",
    "6.9": "international_address_not_supported",
    "6.10": "international_address_not_supported",
    "7.0": "refused_by_policy",
    "7.1": "refused_by_policy",
    "7.2": "refused_by_policy",
    "7.3": "content_refused",
    "7.4": "content_refused",
    "7.5": "content_refused",
    "7.6": "content_refused",
    "7.7": "content_refused",
    "7.8": "credentials_refused",
    "7.9": "credentials_refused",
    "7.10": "server_unsuitable",
    "7.11": "server_unsuitable",
    "7.12": "credentials_refused",
    "7.13": "account_suspended",
    "7.14": "server_unsuitable",
    "7.15": "content_refused",
    "7.16": "content_refused",
    "7.17": "mailbox_disabled",
    "7.18": "mailbox_disabled",
    "7.19": "content_refused",
    "7.20": "content_refused",
    "7.21": "content_refused",
    "7.22": "content_refused",
    "7.23": "sender_refused",
    "7.24": "sender_refused",
    "7.25": "reputation_blocked",
    "7.26": "sender_refused",
    "7.27": "sender_refused",
    "7.28": "too_many_messages",
    "7.29": "sender_refused",
    "7.30": "server_unsuitable",
}
ENHANCED_CODE = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})(?!\S)", re.ASCII)


def find_reason(text: str) -> str | None:
    """Return the reason code for a text that begins with an enhanced status code, or None without one or for an
    unspecific one.
    """
    code_match = ENHANCED_CODE.match(text)
    return REASONS.get(code_match[1]) if code_match else None


# https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3
STORAGE_EXCEEDED = 552
INSUFFICIENT_STORAGE = 452
RECIPIENT_CODES = (450, 451, INSUFFICIENT_STORAGE)
MAILBOX_FULL = "2.2"
SERVER_STATUS_PREFIX = "3."


def find_retry_reason(code: int, text: str, *, is_recipient_reply: bool) -> str | None:
    """Return why a reply to a recipient or a content asks for a later attempt; None if it is final.

    Most of these concern one recipient: greylisting and full mailboxes, the latter also with 552 (RFC 5321,
    4.5.3.1.10). A reply about the server itself (4.3.x, 421) is `unavailable`.
    """
    code_match = ENHANCED_CODE.match(text)
    status = code_match[1] if code_match else None
    is_storage_error = code in (INSUFFICIENT_STORAGE, STORAGE_EXCEEDED)
    if is_storage_error and (
        status == MAILBOX_FULL or (status is None and (is_recipient_reply or code == INSUFFICIENT_STORAGE))
    ):
        return "mailbox_full"
    if code >= 500:
        return None
    if status == MAILBOX_FULL:
        return "mailbox_full"
    is_recipient_error = code in RECIPIENT_CODES if status is None else not status.startswith(SERVER_STATUS_PREFIX)
    return "greylisted" if is_recipient_error and code != 421 else "unavailable"
