"""Getting one message to one endpoint: attempts, backoff, failover, holds, and the policy for unknown outcomes."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.recording import Recording
    from domain.messages import (
        LOOKUP_REFUSED,
        DeliverInput,
        DeliverResult,
        Endpoint,
        PooledProvider,
        RecordInput,
        Result,
    )
    from domain.names import attempt_id
    from domain.notification_types import Guarantee
    from domain.reasons import Reason, because, line
    from domain.retries import MOST_OF_OURS, OURS, Budget, backoff, dice_of, obeyed
    from domain.statuses import DeliveryStatus
    from workflows import options
    from workflows.endpoint_ends import EndpointEnd
    from workflows.own_queue import OwnQueue, deliver_here
    from workflows.reconciliation import Reconciliation
    from workflows.room import Room
    from workflows.waits import Waits


# The reason of a receiver of webhooks that answered 5xx: it may have taken the message.
SERVER_ERROR = "server_error"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What limits the attempts, and how to wait between them. `guarantee` is for providers that name none."""

    guarantee: Guarantee
    last_step: bool
    patience: timedelta
    expires_at: datetime | None
    waits: Waits
    room: Room


class EndpointDelivery:
    def __init__(self, call: DeliverInput, endpoint: Endpoint, terms: Terms) -> None:
        self._call = call
        self._pool: list[PooledProvider] = list(endpoint.providers)
        self._terms = terms
        self._name = f"{call.delivery_id}/{endpoint.id}"
        self._unknown = endpoint.unknown_before
        self._free_at: dict[str, datetime] = {}
        self._on_own_queue = {provider.name for provider in endpoint.providers if provider.has_rate}

    async def run(self) -> EndpointEnd:
        while True:
            seen = self._terms.waits.evidence
            result = await self._attempt()
            self._count(result)
            if result.result is Result.UNKNOWN and self._guarantee(result) is Guarantee.RECONCILE:
                result = await Reconciliation(self._call, self._asked(result), self._terms.waits).run(result, seen)
            # After the look-ups, as the next run of the workflow counts the rows: what is proved absent is not unknown.
            self._unknown += result.result is Result.UNKNOWN
            end = self._end_of(result) or await self._before_next(result)
            if end is not None:
                return end
            self._call = replace(self._call, attempt_number=self._call.attempt_number + 1)

    def _count(self, result: DeliverResult) -> None:
        """What is slow or lost on our side uses up no attempts and starts no clock."""
        waits = self._terms.waits
        if result.reason in OURS and self._ours < MOST_OF_OURS:
            waits.ours[self._name] = self._ours + 1
        else:
            waits.first_answers.setdefault(self._name, workflow.now())

    @property
    def _ours(self) -> int:
        """Attempts that were slow or lost on our side."""
        return self._terms.waits.ours.get(self._name, 0)

    async def _attempt(self) -> DeliverResult:
        """One call that was really made, or the end: round open circuits, and past holds."""
        rerouted = 0
        while True:
            waits = self._terms.waits
            seen = waits.resumes
            result = await self._deliver(others=rerouted < len(self._pool) - 1)
            if result.result is Result.REROUTED:
                self._pool.append(self._pool.pop(0))
                rerouted += 1
            elif result.result is Result.HELD:
                if end := await self._held(seen, result):
                    return DeliverResult(result=Result.STOPPED, stopped_as=end, reason=end.lower())
                # Whom it would rather have gone to may be well again.
                self._pool = self._pool[-rerouted:] + self._pool[:-rerouted] if rerouted else self._pool
                rerouted = 0
            else:
                return result

    async def _held(self, seen: int, result: DeliverResult) -> DeliveryStatus | None:
        """While it is held the clock stands still."""
        since, waits = workflow.now(), self._terms.waits
        waits.show(options.HELD)
        end = await waits.for_turn(seen, f"{self._call.channel}: {line(result.why)}", result.until)
        if self._name in waits.first_answers:
            waits.first_answers[self._name] += workflow.now() - since
        return end

    def _guarantee(self, result: DeliverResult | None = None) -> Guarantee:
        """Of the provider that was called, or of the next one. The type's, if the account may not look up."""
        if result is not None and result.reason == LOOKUP_REFUSED:
            return self._terms.guarantee
        provider = self._pool[0] if result is None else self._asked(result)
        return provider.guarantee or self._terms.guarantee

    def _asked(self, result: DeliverResult) -> PooledProvider:
        """The attempt's own provider, which after a lost workflow may be another than the first of the pool."""
        return next((provider for provider in self._pool if provider.name == result.provider), self._pool[0])

    def _others(self, result: DeliverResult) -> list[PooledProvider]:
        """All but the one that was asked. After a lost workflow that may be one outside the pool."""
        asked = result.provider or self._pool[0].name
        return [provider for provider in self._pool if provider.name != asked]

    async def _deliver(self, *, others: bool) -> DeliverResult:
        provider = self._pool[0]
        self._call = replace(
            self._call,
            provider=provider.name,
            pool=tuple(member.name for member in self._pool),
            others=others,
            reconciles=self._guarantee() is Guarantee.RECONCILE,
        )
        async with self._terms.room:
            self._terms.waits.renew_if_long()
            with self._terms.waits.call():
                result = await self._execute(provider)
                return result if result.recorded else await self._record(result)

    async def _execute(self, provider: PooledProvider) -> DeliverResult:
        """Without a rate on the workflow's own queue, where the worker that schedules it runs it without a poll."""
        if provider.name not in self._on_own_queue:
            result = await deliver_here(self._call, provider, self._terms.expires_at)
            if result.result is not Result.ELSEWHERE:
                return result
            self._on_own_queue.add(provider.name)
        return await OwnQueue(self._call, provider, self._terms.expires_at, self._terms.waits).deliver()

    async def _record(self, result: DeliverResult) -> DeliverResult:
        return await workflow.execute_activity_method(
            Recording.record_outcome,
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
                return EndpointEnd(status=result.stopped_as or DeliveryStatus.CANCELED, reason=result.why)
            case Result.REFUSED:
                return EndpointEnd(status=DeliveryStatus.FAILED, reason=because("refused", result.reason))
            case Result.PERMANENT if not self._others(result):
                return EndpointEnd(status=DeliveryStatus.FAILED, reason=because("provider_failed", result.reason))
            case Result.NOT_ACCEPTED if self._may_have_it(result):
                return EndpointEnd(status=DeliveryStatus.IN_DOUBT, reason=because("outcome_unknown", result.reason))
            case Result.UNKNOWN if self._guarantee(result) is not Guarantee.AT_LEAST_ONCE or self._resent(result):
                return EndpointEnd(status=DeliveryStatus.IN_DOUBT, reason=because("outcome_unknown", result.reason))
        return None

    def _may_have_it(self, result: DeliverResult) -> bool:
        """Whether a repetition, which the receiver's 5xx asks for, is more than the type bears."""
        once = self._guarantee(result) is Guarantee.AT_MOST_ONCE
        return once and result.reason == SERVER_ERROR

    def _resent(self, result: DeliverResult) -> bool:
        """Whether it was sent again as often as the type bears, and the outcome is unknown still."""
        limit = self._asked(result).max_resends
        return limit is not None and self._unknown > limit

    async def _before_next(self, result: DeliverResult) -> EndpointEnd | None:
        if result.result is Result.PERMANENT:
            self._pool = self._others(result)  # one of them, at once
            return None
        call, now, number = self._call, workflow.now(), self._call.attempt_number
        dice = dice_of(attempt_id(call.delivery_id, call.endpoint_id, number))
        delay = backoff(number, dice, self._next_turn(result))
        if end := self._exhausted(now + delay, result):
            last = self._budget().last_chance(self._made, now + backoff(number, dice, None))
            if result.retry_after is None or last is None:
                return end
            delay = last - now
        why = result.reason or str(result.result)
        summary = f"{call.channel}: {why}, attempt {call.attempt_number + 1} next"
        if await self._terms.waits.pause(delay, summary, options.RETRYING):
            return None
        return EndpointEnd(status=DeliveryStatus.CANCELED, reason=Reason("canceled"))

    def _next_turn(self, result: DeliverResult) -> timedelta:
        """Another's, if there is one: it is proved absent here, or the type bears a second one. Who asked us to wait is
        left alone for so long; the time until the first of them is free."""
        now = workflow.now()
        asked = self._asked(result)
        if result.provider in (None, asked.name):
            self._pool.remove(asked)
            self._pool.append(asked)
        if result.retry_after is not None:
            self._free_at[result.provider or asked.name] = now + obeyed(result.retry_after)
        self._pool.sort(key=lambda provider: max(now, self._free_at.get(provider.name, now)))
        return max(now, self._free_at.get(self._pool[0].name, now)) - now

    def _exhausted(self, next_attempt: datetime, result: DeliverResult) -> EndpointEnd | None:
        terms = self._terms
        # With a later step there may be time for that one yet; whether there is, its own guard says.
        if terms.last_step and terms.expires_at is not None and next_attempt >= terms.expires_at:
            return EndpointEnd(status=DeliveryStatus.EXPIRED, reason=because("expired", result.reason))
        if self._budget().allows(self._made, next_attempt):
            return None
        reason = Reason("gave_up", {"attempts": self._made, "cause": result.reason})
        return EndpointEnd(status=DeliveryStatus.FAILED, reason=reason)

    @property
    def _made(self) -> int:
        return self._call.attempt_number - self._ours

    def _budget(self) -> Budget:
        terms = self._terms
        return Budget.of_step(
            first_attempt=terms.waits.first_answers.get(self._name, workflow.now()),
            last_step=terms.last_step,
            patience=terms.patience,
            expires_at=terms.expires_at,
        )
