"""Categories of failure reasons: reasons quote vendors and are unbounded, a label must not be."""

import re

OTHER = "other"
# The first word of a reason that is listed here is its category.
CATEGORIES = frozenset(
    {
        "bounced",
        "expired",
        "gave_up",
        "internal",
        "no_address",
        "no_channel",
        "no_provider",
        "no_template",
        "not_sent",
        "outcome_unknown",
        "provider_failed",
        "recipient_erased",
        "refused",
        "template_error",
        "workflow",
    }
)
SYNONYMS = {"refused_recipient": "refused"}
WORD = re.compile(r"[a-z_]+")


def category(reason: str | None) -> str:
    """Return the category of a notification's reason, `email: no_address; sms: bounced`: that of the last channel."""
    last = (reason or "").rpartition("; ")[2]
    for word in WORD.findall(last)[:2]:
        known = SYNONYMS.get(word, "workflow" if word.startswith("workflow_") else word)
        if known in CATEGORIES:
            return known
    return OTHER
