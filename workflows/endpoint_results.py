"""Define the result of one endpoint, and combine the results of several."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import DeliverResult
    from domain.reasons import Reason
    from domain.statuses import DeliveryStatus


@dataclass(frozen=True, kw_only=True)
class EndpointResult:
    """Hold the final status and reason of a delivery. With `status` None the message was accepted, and
    `accepted_call` is the result of the call that the provider accepted."""

    status: DeliveryStatus | None
    reason: Reason = field(default_factory=lambda: Reason(""))
    accepted_call: DeliverResult | None = None


# The result of a channel with several endpoints is the first of these that occurs.
RESULT_PRECEDENCE = (
    None,
    DeliveryStatus.IN_DOUBT,
    DeliveryStatus.CANCELED,
    DeliveryStatus.EXPIRED,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
)


def combined_result(results: Sequence[EndpointResult]) -> EndpointResult:
    return min(results, key=lambda endpoint_result: RESULT_PRECEDENCE.index(endpoint_result.status))
