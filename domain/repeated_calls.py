"""Find the call that a resend repeats at a provider with an idempotency window. Pure."""

from datetime import datetime, timedelta

from domain.evidence import AttemptState
from domain.records import AttemptRecord, Ledger

RESTORED = "restored"
REPEAT_REFUSED = "repeat_refused"
REPEAT_TOO_LATE = "repeat_too_late"
# After these the vendor has another request, or maybe none, under the attempt id of the first call.
UNREPEATABLE_REASONS = frozenset({RESTORED, REPEAT_REFUSED, REPEAT_TOO_LATE})


def find_repeated_call(ledger: Ledger, attempt: AttemptRecord) -> AttemptRecord | None:
    """Return the first call with an unknown outcome, up to `attempt`, for the same endpoint through the same provider.

    Later calls repeat it under its id, so that its vendor sees one request.
    """
    unknown = [
        each
        for each in ledger.attempts_of(attempt.delivery_id)
        if (each.endpoint_id, each.provider) == (attempt.endpoint_id, attempt.provider)
        and each.state is AttemptState.UNKNOWN
        and each.number <= attempt.number
    ]
    if any(each.reason in UNREPEATABLE_REASONS for each in unknown):
        return None
    return min(unknown, key=lambda each: each.number, default=None)


def is_repeatable(started_at: datetime | None, window: timedelta, now: datetime) -> bool:
    """Return whether the vendor still recognizes a call that began at `started_at`."""
    return started_at is not None and now < started_at + window
