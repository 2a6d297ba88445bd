"""What became of one endpoint, and of a channel that has several."""

from collections.abc import Sequence
from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import DeliverResult
    from domain.statuses import DeliveryStatus


@dataclass(frozen=True, kw_only=True)
class EndpointEnd:
    """`status` None: it arrived, and `result` is the accepted call's. Otherwise the delivery's end and its reason."""

    status: DeliveryStatus | None
    reason: str = ""
    result: DeliverResult | None = None


def refusal(reason: str) -> str:
    """`refused: mailbox_full`; a word that says so itself is said once: `refused_recipient`."""
    return reason if "refused" in reason else f"refused: {reason}"


# What a channel with several endpoints came to: arrived if any did, else the first of these that occurs.
GRAVEST = (
    None,
    DeliveryStatus.IN_DOUBT,
    DeliveryStatus.CANCELED,
    DeliveryStatus.EXPIRED,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
)


def gravest(ends: Sequence[EndpointEnd]) -> EndpointEnd:
    return min(ends, key=lambda end: GRAVEST.index(end.status))
