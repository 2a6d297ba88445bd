"""Decide which failed notifications may be sent again as a new generation, and why the others may not.

Pure; `storage/dead_letters.py` reads the facts under the rows' locks and writes the decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.reasons import Reason
from domain.records import DeliveryDecision
from domain.routing import SkippedChannel
from domain.statuses import DeliveryStatus, NotificationStatus

ALREADY_SENT = "already_sent"
NOT_FINISHED = "not_finished"
EXPIRED = "expired"
NO_CHANNEL = "no_channel"

N = NotificationStatus

# The statuses that wait for an operator. No other status is sent again.
DEAD_LETTER_STATUSES = (N.FAILED, N.IN_DOUBT)
REFUSAL_BY_STATUS: dict[NotificationStatus, str] = {
    N.PENDING: NOT_FINISHED,
    N.SENT: ALREADY_SENT,
    N.DELIVERED: ALREADY_SENT,
    N.OPENED: ALREADY_SENT,
    N.SUPPRESSED: "suppressed",
    N.CANCELED: "canceled",
    N.EXPIRED: EXPIRED,
    N.DIGESTED: "digested",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RedriveCandidate:
    """Describe a notification. `erased`: its recipient and content were erased; another recipient may have the id
    now. `emptied`: its content was removed because of its age."""

    status: NotificationStatus
    finished: bool
    expires_at: datetime | None
    erased: bool
    emptied: bool = False


def redrive_refusal(candidate: RedriveCandidate, now: datetime, *, force: bool) -> str | None:
    """Return why it is not sent again, or None. `force` also sends again what may have arrived."""
    if candidate.status not in DEAD_LETTER_STATUSES:
        return REFUSAL_BY_STATUS[candidate.status]
    if not candidate.finished:
        return NOT_FINISHED
    if candidate.erased:
        return "recipient_erased"
    if candidate.emptied:
        return "content_removed"
    if candidate.expires_at is not None and candidate.expires_at <= now:
        return EXPIRED
    return "in_doubt" if candidate.status is N.IN_DOUBT and not force else None


def unreachable_reason(skips: Sequence[SkippedChannel]) -> str:
    """Return why no channel is left: the code that all channels share, else `no_channel`."""
    codes = {skip.reason.code for skip in skips}
    return codes.pop() if len(codes) == 1 else NO_CHANNEL


def already_sent_decision(generation: int) -> DeliveryDecision:
    """Return the decision to skip a delivery that an earlier generation has sent."""
    return DeliveryDecision(status=DeliveryStatus.SKIPPED, reason=Reason(ALREADY_SENT, {"generation": generation}))


def start_delays(count: int, rate: float) -> list[float]:
    """Return the delay in seconds of each start at `rate` per second; 0 starts all immediately."""
    return [number / rate if rate else 0.0 for number in range(count)]
