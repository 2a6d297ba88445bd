"""Limit the attempts for one endpoint, and decide when the last one begins."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import DeliverResult
    from domain.notification_types import Guarantee
    from domain.reasons import Reason, reason_with_cause
    from domain.retries import INTERNAL_REASONS, MAX_INTERNAL_FAILURES, AttemptBudget
    from domain.statuses import DeliveryStatus
    from workflows.concurrency import CallSlots
    from workflows.endpoint_results import EndpointResult
    from workflows.waits import WorkflowWaits


@dataclass(frozen=True, kw_only=True)
class AttemptPolicy:
    """Hold the rules for the attempts of a channel. `guarantee` applies to providers without their own guarantee."""

    guarantee: Guarantee
    is_last_step: bool
    give_up_after: timedelta
    expires_at: datetime | None
    waits: WorkflowWaits
    call_slots: CallSlots


class AttemptLimits:
    """Count the attempts and run the clock of one endpoint. Both survive continue-as-new in `RunState`."""

    def __init__(self, policy: AttemptPolicy, endpoint_key: str) -> None:
        self._policy = policy
        self._endpoint_key = endpoint_key

    def count_result(self, result: DeliverResult) -> None:
        """Count an internal failure, which uses up no attempt, or start the clock at the first other result."""
        waits = self._policy.waits
        if result.reason in INTERNAL_REASONS and self._internal_failures < MAX_INTERNAL_FAILURES:
            waits.internal_failures[self._endpoint_key] = self._internal_failures + 1
        else:
            waits.first_response_times.setdefault(self._endpoint_key, workflow.now())

    def exclude_time(self, duration: timedelta) -> None:
        """Exclude a duration from the clock, if the clock has started."""
        if self._endpoint_key in self._policy.waits.first_response_times:
            self._policy.waits.first_response_times[self._endpoint_key] += duration

    def end_if_exhausted(
        self, attempt_number: int, next_attempt: datetime, result: DeliverResult
    ) -> EndpointResult | None:
        """Return the final result of the endpoint if no attempt may begin at `next_attempt`."""
        policy = self._policy
        # If a later step exists, it may still have time. Its own guard checks the expiry.
        if policy.is_last_step and policy.expires_at is not None and next_attempt >= policy.expires_at:
            return EndpointResult(status=DeliveryStatus.EXPIRED, reason=reason_with_cause("expired", result.reason))
        attempts_made = self._attempts_made(attempt_number)
        if self._budget().allows(attempts_made, next_attempt):
            return None
        reason = Reason("retries_exhausted", {"attempts": attempts_made, "cause": result.reason})
        return EndpointResult(status=DeliveryStatus.FAILED, reason=reason)

    def last_attempt_time(self, attempt_number: int, regular_time: datetime) -> datetime | None:
        """Return when a last attempt may begin if only the provider's Retry-After exceeds the limit."""
        return self._budget().last_attempt_time(self._attempts_made(attempt_number), regular_time)

    @property
    def _internal_failures(self) -> int:
        return self._policy.waits.internal_failures.get(self._endpoint_key, 0)

    def _attempts_made(self, attempt_number: int) -> int:
        return attempt_number - self._internal_failures

    def _budget(self) -> AttemptBudget:
        policy = self._policy
        return AttemptBudget.of_step(
            first_attempt=policy.waits.first_response_times.get(self._endpoint_key, workflow.now()),
            is_last_step=policy.is_last_step,
            give_up_after=policy.give_up_after,
            expires_at=policy.expires_at,
        )
