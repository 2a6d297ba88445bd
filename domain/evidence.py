"""Define the evidence for one provider call, from its own outcome and from receipts, and which evidence wins."""

from domain.stored_enums import StoredEnum


class CallResult(StoredEnum):
    """Name the result of one provider call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_ACCEPTED = "not_accepted"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


class AttemptState(StoredEnum):
    """Name the outcome of the call itself. Receipts add evidence and never change it."""

    SUBMITTING = "submitting"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_ACCEPTED = "not_accepted"
    UNKNOWN = "unknown"

    @property
    def outcome(self) -> str | None:
        """Return the outcome as the API shows it: accepted, refused, error, unknown, or None before the response."""
        return OUTCOMES[self]


OUTCOMES: dict[AttemptState, str | None] = {
    AttemptState.SUBMITTING: None,
    AttemptState.ACCEPTED: "accepted",
    AttemptState.REFUSED: "refused",
    AttemptState.NOT_ACCEPTED: "error",
    AttemptState.UNKNOWN: "unknown",
}


class Evidence(StoredEnum):
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    OPENED = "opened"
    CLICKED = "clicked"

    @property
    def rank(self) -> int:
        """Return the rank in order of declaration. The highest rank wins in any order of arrival."""
        return list(Evidence).index(self)


EVIDENCE_OF_STATE: dict[AttemptState, Evidence] = {
    AttemptState.ACCEPTED: Evidence.SENT,
    AttemptState.REFUSED: Evidence.NOT_SENT,
    AttemptState.NOT_ACCEPTED: Evidence.NOT_SENT,
    AttemptState.UNKNOWN: Evidence.IN_DOUBT,
}


class ReceiptKind(StoredEnum):
    """Name what a receipt reports. DELAYED: the vendor has the message and tries again to hand it over. UNKNOWN is kept
    without effect."""

    DELAYED = "delayed"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    BOUNCED = "bounced"
    FAILED = "failed"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    UNKNOWN = "unknown"


class Reporter(StoredEnum):
    """Name the reporters of receipts that are no provider; stored as the receipt's `provider`. TRACKING is our own
    pixel and links."""

    APPLICATION = "application"
    INBOX = "inbox"
    TRACKING = "tracking"


# A complaint proves that the message arrived. The suppression list handles its effect on consent.
EVIDENCE_OF_RECEIPT: dict[ReceiptKind, Evidence] = {
    ReceiptKind.DELIVERED: Evidence.DELIVERED,
    ReceiptKind.OPENED: Evidence.OPENED,
    ReceiptKind.CLICKED: Evidence.CLICKED,
    ReceiptKind.BOUNCED: Evidence.BOUNCED,
    ReceiptKind.FAILED: Evidence.BOUNCED,
    ReceiptKind.COMPLAINED: Evidence.DELIVERED,
}


def strongest_evidence(known: Evidence | None, new: Evidence) -> Evidence:
    return new if known is None or new.rank > known.rank else known
