"""Deliver one message to one endpoint: attempts, backoff, failover, holds and the policy for unknown outcomes."""

from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import ReconciliationActivities
    from domain.evidence import CallResult
    from domain.messages import (
        LOOKUP_REFUSED,
        DeliverInput,
        DeliverResult,
        Endpoint,
        NoCallResult,
        PlannedProvider,
        RecordInput,
    )
    from domain.names import attempt_id
    from domain.notification_types import Guarantee
    from domain.reasons import Reason, reason_line, reason_with_cause
    from domain.repeated_calls import is_repeatable
    from domain.retries import backoff, capped_retry_after, rand_of
    from domain.statuses import DeliveryStatus
    from workflows import options
    from workflows.attempt_limits import AttemptLimits, AttemptPolicy
    from workflows.endpoint_results import EndpointResult
    from workflows.provider_queue import ProviderQueueCall, deliver_on_shared_queue
    from workflows.reconciliation import Reconciliation


# The reason of a webhook receiver that answered 5xx. It may have accepted the message.
SERVER_ERROR = "server_error"


class EndpointDelivery:
    def __init__(self, call: DeliverInput, endpoint: Endpoint, policy: AttemptPolicy) -> None:
        self._call = call
        self._pool: list[PlannedProvider] = list(endpoint.providers)
        self._policy = policy
        self._limits = AttemptLimits(policy, f"{call.delivery_id}/{endpoint.id}")
        self._unknown_count = endpoint.earlier_unknown_outcomes
        self._must_repeat = False
        self._seen_resumes = 0
        self._available_at: dict[str, datetime] = {}
        self._uses_provider_queue = {provider.name for provider in endpoint.providers if provider.has_rate}

    async def run(self) -> EndpointResult:
        while True:
            seen_evidence = self._policy.waits.evidence_count
            result = await self._attempt()
            self._limits.count_result(result)
            if result.result is CallResult.UNKNOWN and self._guarantee(result) is Guarantee.RECONCILE:
                result = await Reconciliation(self._call, self._called_provider(result), self._policy.waits).run(
                    result, seen_evidence
                )
            # Count after the reconciliation: a message that is proved absent is not unknown. A new run counts the rows
            # in the same way.
            self._unknown_count += result.result is CallResult.UNKNOWN
            final_result = self._final_result(result) or await self._wait_before_next(result)
            if final_result is not None:
                return final_result
            self._call = replace(self._call, attempt_number=self._call.attempt_number + 1)

    async def _attempt(self) -> DeliverResult:
        """Make one call, after reroutes past open circuits and waits for releases. Return its result, or STOPPED if
        the delivery ended during a wait."""
        rerouted = 0
        while True:
            has_alternatives = rerouted < len(self._pool) - 1 and not self._must_repeat
            result = await self._deliver(has_alternatives=has_alternatives)
            if result.result is NoCallResult.REROUTED:
                self._pool.append(self._pool.pop(0))
                rerouted += 1
            elif result.result is NoCallResult.HELD:
                if status := await self._wait_for_release(result):
                    return DeliverResult(result=NoCallResult.STOPPED, stopped_status=status, reason=status.lower())
                # The preferred provider may have recovered.
                self._pool = self._pool[-rerouted:] + self._pool[:-rerouted] if rerouted else self._pool
                rerouted = 0
            else:
                return result

    async def _wait_for_release(self, result: DeliverResult) -> DeliveryStatus | None:
        """Wait for a release. The time does not count toward the limits of the attempts. Return the final status if a
        cancel or the expiry came first."""
        since, waits = workflow.now(), self._policy.waits
        waits.show_status(options.HELD)
        summary = f"{self._call.channel}: {reason_line(result.full_reason)}"
        final_status = await waits.wait_for_resume(
            self._seen_resumes, summary, result.until, delivery_id=self._call.delivery_id
        )
        self._limits.exclude_time(workflow.now() - since)
        return final_status

    def _guarantee(self, result: DeliverResult | None = None) -> Guarantee:
        """Return the guarantee of the called provider, or of the next one. Use that of the type if the account may
        not look up messages."""
        if result is not None and result.reason == LOOKUP_REFUSED:
            return self._policy.guarantee
        provider = self._pool[0] if result is None else self._called_provider(result)
        return provider.guarantee or self._policy.guarantee

    def _called_provider(self, result: DeliverResult) -> PlannedProvider:
        """Return the provider of the attempt. After a lost workflow it may differ from the first of the pool."""
        return next((provider for provider in self._pool if provider.name == result.provider), self._pool[0])

    def _other_providers(self, result: DeliverResult) -> list[PlannedProvider]:
        """Return the pool without the called provider. After a lost workflow that provider may be outside the pool."""
        called = result.provider or self._pool[0].name
        return [provider for provider in self._pool if provider.name != called]

    async def _deliver(self, *, has_alternatives: bool) -> DeliverResult:
        provider = self._pool[0]
        self._call = replace(
            self._call,
            provider=provider.name,
            pool=tuple(member.name for member in self._pool),
            has_alternatives=has_alternatives,
            waits_for_evidence=self._guarantee() is Guarantee.RECONCILE and bool(provider.settles_within),
            must_repeat=self._must_repeat,
        )
        waits = self._policy.waits
        async with self._policy.call_slots:
            waits.continue_as_new_if_long()
            # Before the guard may mark the delivery as held: later resumes and calls end the wait for its release.
            self._seen_resumes = waits.count_resumes(self._call.delivery_id)
            with waits.call_in_progress():
                result = await self._execute_call(provider)
                result = result if result.recorded else await self._record_outcome(result)
        if isinstance(result.result, CallResult):
            waits.count_ended_call(self._call.delivery_id)
        return result

    async def _execute_call(self, provider: PlannedProvider) -> DeliverResult:
        """Call on the shared queue, which is the workflow's own, if the provider has no rate: the worker then starts
        the call without a poll."""
        if provider.name not in self._uses_provider_queue:
            result = await deliver_on_shared_queue(self._call, provider, self._policy.expires_at)
            if result.result is not NoCallResult.NEEDS_PROVIDER_QUEUE:
                return result
            self._uses_provider_queue.add(provider.name)
        return await ProviderQueueCall(self._call, provider, self._policy.expires_at, self._policy.waits).deliver()

    async def _record_outcome(self, result: DeliverResult) -> DeliverResult:
        return await workflow.execute_activity_method(
            ReconciliationActivities.record_outcome,
            RecordInput(call=self._call, outcome=result),
            start_to_close_timeout=options.DATABASE_TIMEOUT,
            retry_policy=options.UNLIMITED_RETRY,
            summary=f"record: {self._call.channel} {result.result}",
        )

    def _final_result(self, result: DeliverResult) -> EndpointResult | None:
        """Return the final result, or None if another attempt may succeed."""
        match result.result:
            case CallResult.ACCEPTED:
                return EndpointResult(status=None, accepted_call=result)
            case NoCallResult.STOPPED:
                return EndpointResult(
                    status=result.stopped_status or DeliveryStatus.CANCELED, reason=result.full_reason
                )
            case CallResult.REFUSED:
                return EndpointResult(status=DeliveryStatus.FAILED, reason=reason_with_cause("refused", result.reason))
            case CallResult.PERMANENT if not self._other_providers(result):
                return EndpointResult(
                    status=DeliveryStatus.FAILED, reason=reason_with_cause("provider_failed", result.reason)
                )
            case CallResult.NOT_ACCEPTED if self._is_possibly_accepted(result):
                return in_doubt(result)
            case CallResult.UNKNOWN if not (self._may_duplicate(result) or self._can_repeat(result)):
                return in_doubt(result)
        return None

    def _is_possibly_accepted(self, result: DeliverResult) -> bool:
        """Return whether a webhook receiver answered 5xx, which asks for a repetition that the guarantee forbids."""
        once = self._guarantee(result) is Guarantee.AT_MOST_ONCE
        return once and result.reason == SERVER_ERROR

    def _may_duplicate(self, result: DeliverResult) -> bool:
        """Return whether the type allows to resend the message although it may have been accepted."""
        limit = self._called_provider(result).max_resends
        is_below_limit = limit is None or self._unknown_count <= limit
        return self._guarantee(result) is Guarantee.AT_LEAST_ONCE and is_below_limit

    def _can_repeat(self, result: DeliverResult) -> bool:
        """Return whether the called provider recognizes a repeated call, so that it has no effect. A provider outside
        the pool cannot be called."""
        provider = self._called_provider(result)
        is_in_pool = result.provider == provider.name
        return is_in_pool and is_repeatable(result.unknown_since, provider.idempotency_window, workflow.now())

    async def _wait_before_next(self, result: DeliverResult) -> EndpointResult | None:
        if result.result is CallResult.PERMANENT:
            self._pool = self._other_providers(result)  # without a delay
            return None
        call, now, number = self._call, workflow.now(), self._call.attempt_number
        is_repeat = result.result is CallResult.UNKNOWN and self._can_repeat(result)
        # A duplicate that the type allows may go through another provider while the circuit of this one is open.
        self._must_repeat = is_repeat and not self._may_duplicate(result)
        rand = rand_of(attempt_id(call.delivery_id, call.endpoint_id, number))
        next_provider_delay = self._put_first(result) if is_repeat else self._delay_until_next_provider(result)
        delay = backoff(number, rand, next_provider_delay)
        if end := self._limits.end_if_exhausted(number, now + delay, result):
            last = self._limits.last_attempt_time(number, now + backoff(number, rand, None))
            if result.retry_after is None or last is None:
                return in_doubt(result) if self._must_repeat else end
            delay = last - now
        why = result.reason or str(result.result)
        summary = f"{call.channel}: {why}, attempt {number + 1} next"
        if await self._policy.waits.wait_before_retry(delay, summary, options.RETRYING):
            return None
        return EndpointResult(status=DeliveryStatus.CANCELED, reason=Reason("canceled"))

    def _put_first(self, result: DeliverResult) -> timedelta:
        """Move the called provider to the front of the pool and return its delay."""
        called = self._called_provider(result)
        self._pool.sort(key=lambda provider: provider.name != called.name)
        return capped_retry_after(result.retry_after or timedelta())

    def _delay_until_next_provider(self, result: DeliverResult) -> timedelta:
        """Move the called provider to the end of the pool and return the delay until the first provider is
        available. Failover is safe here: the message is proved absent, or the type allows a duplicate. A provider
        with Retry-After is not called before that time."""
        now = workflow.now()
        called = self._called_provider(result)
        if result.provider in (None, called.name):
            self._pool.remove(called)
            self._pool.append(called)
        if result.retry_after is not None:
            self._available_at[result.provider or called.name] = now + capped_retry_after(result.retry_after)
        self._pool.sort(key=lambda provider: max(now, self._available_at.get(provider.name, now)))
        return max(now, self._available_at.get(self._pool[0].name, now)) - now


def in_doubt(result: DeliverResult) -> EndpointResult:
    return EndpointResult(status=DeliveryStatus.IN_DOUBT, reason=reason_with_cause("outcome_unknown", result.reason))
