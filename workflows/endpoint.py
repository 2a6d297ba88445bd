"""Getting one message to one endpoint: attempts, backoff, failover and the type's policy for unknown outcomes."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Delivering
    from domain.messages import DeliverInput, DeliverResult, Endpoint, PooledProvider, RecordInput, Result
    from domain.names import delivery_queue
    from domain.notification_types import Guarantee
    from domain.retries import Budget, backoff
    from domain.statuses import DeliveryStatus
    from workflows import options


@dataclass(frozen=True, kw_only=True)
class EndpointEnd:
    """`status` None: it arrived, and `result` is the accepted call's. Otherwise the delivery's end and its reason."""

    status: DeliveryStatus | None
    reason: str = ""
    result: DeliverResult | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What limits the attempts. `pause` waits for a delay and says False if a cancel came first."""

    guarantee: Guarantee
    last_step: bool
    patience: timedelta
    expires_at: datetime | None
    pause: Callable[[timedelta, str, DeliverInput], Awaitable[bool]]


class EndpointDelivery:
    def __init__(self, call: DeliverInput, endpoint: Endpoint, terms: Terms) -> None:
        self._call = call
        self._pool: list[PooledProvider] = list(endpoint.providers)
        self._terms = terms
        self._first_answer: datetime | None = None

    async def run(self) -> EndpointEnd:
        while True:
            result = await self._attempt()
            self._first_answer = self._first_answer or workflow.now()
            end = self._end_of(result) or await self._before_next(result)
            if end is not None:
                return end
            self._call = replace(self._call, attempt_number=self._call.attempt_number + 1)

    async def _attempt(self) -> DeliverResult:
        provider = self._pool[0]
        self._call = replace(self._call, provider=provider.name)
        result = await workflow.execute_activity_method(
            Delivering.deliver,
            self._call,
            task_queue=delivery_queue(provider.name),
            start_to_close_timeout=provider.timeout,
            retry_policy=options.PATIENT_RETRY,
            summary=f"{self._call.channel} by {provider.name}, attempt {self._call.attempt_number}",
        )
        return result if result.recorded else await self._record(result)

    async def _record(self, result: DeliverResult) -> DeliverResult:
        return await workflow.execute_activity_method(
            Delivering.record_outcome,
            RecordInput(call=self._call, outcome=result),
            start_to_close_timeout=options.DATABASE_TIMEOUT,
            retry_policy=options.PATIENT_RETRY,
            summary=f"record: {self._call.channel} {result.result}",
        )

    def _end_of(self, result: DeliverResult) -> EndpointEnd | None:
        """The answers that end it; None for those that another attempt may mend."""
        match result.result:
            case Result.ACCEPTED:
                return EndpointEnd(status=None, result=result)
            case Result.STOPPED:
                return EndpointEnd(status=result.stopped_as or DeliveryStatus.CANCELED, reason=result.reason or "")
            case Result.REFUSED:
                return EndpointEnd(status=DeliveryStatus.FAILED, reason=f"refused: {result.reason}")
            case Result.PERMANENT if len(self._pool) == 1:
                return EndpointEnd(status=DeliveryStatus.FAILED, reason=f"provider_failed: {result.reason}")
            case Result.UNKNOWN if self._terms.guarantee is not Guarantee.AT_LEAST_ONCE:
                return EndpointEnd(status=DeliveryStatus.IN_DOUBT, reason=f"outcome_unknown: {result.reason}")
        return None

    async def _before_next(self, result: DeliverResult) -> EndpointEnd | None:
        if result.result is Result.PERMANENT:
            self._pool.pop(0)  # another provider, at once
            return None
        delay = backoff(self._call.attempt_number, workflow.random().random(), result.retry_after)
        if end := self._exhausted(workflow.now() + delay, result):
            return end
        if await self._terms.pause(delay, result.reason or str(result.result), self._call):
            return None
        return EndpointEnd(status=DeliveryStatus.CANCELED, reason="canceled")

    def _exhausted(self, next_attempt: datetime, result: DeliverResult) -> EndpointEnd | None:
        terms, made = self._terms, self._call.attempt_number
        # With a later step there may be time for that one yet; whether there is, its own guard says.
        if terms.last_step and terms.expires_at is not None and next_attempt >= terms.expires_at:
            return EndpointEnd(status=DeliveryStatus.EXPIRED, reason=f"expired: {result.reason}")
        budget = Budget.of_step(
            first_attempt=self._first_answer or workflow.now(),
            last_step=terms.last_step,
            patience=terms.patience,
            expires_at=terms.expires_at,
        )
        if budget.allows(made, next_attempt):
            return None
        return EndpointEnd(status=DeliveryStatus.FAILED, reason=f"gave_up after {made} attempts: {result.reason}")


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
