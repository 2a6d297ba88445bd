"""Test what each documented error and failure of Resend means."""

from providers.resend import errors, reasons
from tests.providers.reason_meanings import BOUNCED, COMPLAINED, A, C, Expected, R, meaning

# https://resend.com/docs/api-reference/errors
ERRORS: dict[str, Expected] = {
    **dict.fromkeys(
        ("missing_api_key", "invalid_api_key", "restricted_api_key", "invalid_permission"),
        ("credentials_refused", A, None, True),
    ),
    "suspended_api_key": ("account_suspended", A, None, True),
    **dict.fromkeys(("daily_quota_exceeded", "monthly_quota_exceeded"), ("quota_exceeded", A, None, True)),
    "invalid_from_address": ("sender_refused", A, None, True),
    **dict.fromkeys(
        ("invalid_attachment", "invalid_idempotency_key", "invalid_parameter", "missing_required_field"),
        ("bad_request", C, None, False),
    ),
    "security_error": ("content_refused", C, None, False),
}
# https://resend.com/docs/dashboard/emails/email-bounces
FAILURES: dict[str, Expected] = {
    "MailboxFull": ("mailbox_full", R, None, False),
    "MessageTooLarge": ("too_large", C, None, False),
    "ContentRejected": ("content_refused", C, None, False),
    "AttachmentRejected": ("content_refused", C, None, False),
    "Suppressed": ("bounced_before", R, BOUNCED, False),
    "Permanent": ("refused_recipient", R, None, False),
    "previous_bounce": ("bounced_before", R, BOUNCED, False),
    "previous_complaint": ("complained_before", R, COMPLAINED, False),
    "reached_daily_quota": ("quota_exceeded", A, None, True),
}


def test_every_error_of_resend_has_its_meaning() -> None:
    codes = {**errors.ACCOUNT_REASONS, **errors.REFUSAL_REASONS}
    assert {code: meaning(reason, refused=True) for code, reason in codes.items()} == ERRORS


def test_every_failure_of_resend_has_its_meaning() -> None:
    codes = {**reasons.BOUNCE_REASONS, **reasons.BOUNCE_TYPE_REASONS}
    codes |= {**reasons.SUPPRESSION_REASONS, **reasons.FAILURE_REASONS}
    assert {code: meaning(reason) for code, reason in codes.items()} == FAILURES
