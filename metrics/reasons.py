"""Group failure reasons into categories, so that the label has a known number of values."""

from collections.abc import Sequence

from domain.reasons import ChannelReason

OTHER = "other"
# Codes that are their own category.
CATEGORIES = frozenset(
    {
        "bounced",
        "expired",
        "retries_exhausted",
        "internal",
        "no_address",
        "no_channel",
        "no_chat_room",
        "no_provider",
        "no_template",
        "not_decrypted",
        "not_sent",
        "outcome_unknown",
        "provider_failed",
        "recipient_erased",
        "refused",
        "sms_too_long",
        "template_error",
        "workflow",
    }
)
SYNONYMS = {"workflow_ended": "workflow"}


def category_of(failures: Sequence[ChannelReason]) -> str:
    """Return the category of a notification's failure: that of its last channel."""
    code = failures[-1].reason.code if failures else OTHER
    known = SYNONYMS.get(code, code)
    return known if known in CATEGORIES else OTHER
