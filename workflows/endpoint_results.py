"""What became of one endpoint, and of a channel that has several."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import DeliverResult
    from domain.reasons import Reason
    from domain.statuses import DeliveryStatus


@dataclass(frozen=True, kw_only=True)
class EndpointResult:
    """`status` None: it arrived, and `result` is the accepted call's. Otherwise the delivery's end and its reason."""

    status: DeliveryStatus | None
    reason: Reason = field(default_factory=lambda: Reason(""))
    result: DeliverResult | None = None


# What a channel with several endpoints came to: arrived if any did, else the first of these that occurs.
SEVERITY_ORDER = (
    None,
    DeliveryStatus.IN_DOUBT,
    DeliveryStatus.CANCELED,
    DeliveryStatus.EXPIRED,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
)


def most_severe(results: Sequence[EndpointResult]) -> EndpointResult:
    return min(results, key=lambda endpoint_result: SEVERITY_ORDER.index(endpoint_result.status))
