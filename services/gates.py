"""Check the gates of a notification before it is rendered. Used by `resolve_preferences`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.digests import digest_key_of
from domain.gates import Gate, GateReason, action_on_exceed, counted_limits, time_gate
from domain.ledger import finish_notification
from domain.messages import NotificationOutcome, ResolveInput, StepPlan
from domain.notification_types import NotificationType
from domain.reasons import Reason
from domain.statuses import NotificationStatus
from domain.throttles import CountedLimit
from domain.timing import OnExceed
from services.delivery_rendering import rate_limited_provider
from storage import claims, gates, throttles
from storage.database import Database
from storage.ledgers import NotificationRef, amend
from storage.preferences import RecipientContext
from storage.throttles import SlotRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class GateCheck:
    """Hold what the gates need of one notification."""

    start: ResolveInput
    notification_type: NotificationType
    context: RecipientContext

    @property
    def ref(self) -> NotificationRef:
        return NotificationRef(notification_id=self.start.notification_id, tenant=self.start.tenant)

    @property
    def slot_request(self) -> SlotRequest:
        return SlotRequest(
            notification_id=self.start.notification_id,
            generation=self.start.generation,
            tenant=self.start.tenant,
            priority=self.context.priority,
        )

    @property
    def time_gate(self) -> Gate | None:
        """Return the time gate that is closed at `context.now`."""
        context = self.context
        return time_gate(self.notification_type, context.priority, context.quiet_hours, context.timezone, context.now)

    def digest_key(self, secret: bytes) -> str:
        """Return the key of the digests that may collect the notification."""
        context = self.context
        payload = context.template_context.payload
        return digest_key_of(
            secret, self.start.tenant, self.notification_type, context.recipient_id, payload, context.channels
        )

    @property
    def counted_limits(self) -> dict[GateReason, CountedLimit]:
        context = self.context
        return counted_limits(self.notification_type, context.priority, context.recipient_id, context.frequency_cap)


# The digest is sent in its place. The row gets its final status when the digest closes.
COLLECTED_OUTCOME = NotificationOutcome(status=NotificationStatus.DIGESTED, reason="collected")
GateDecision = Gate | NotificationOutcome | None


class GateChecker(Protocol):
    """Check one gate. None lets the notification pass, a Gate is waited for, a NotificationOutcome is final."""

    async def time_gate(self, check: GateCheck) -> Gate | None: ...

    async def provider_gate(self, check: GateCheck, steps: Sequence[StepPlan]) -> Gate | None: ...

    async def limit_gate(self, check: GateCheck) -> GateDecision: ...


class LiveGateChecker:
    """Check the gates of a notification that is sent, and write its wait. See GateChecker."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret

    async def time_gate(self, check: GateCheck) -> Gate | None:
        """Check quiet hours and send window. An open gate costs no I/O."""
        gate = check.time_gate
        if gate is not None:
            async with self._database.transaction() as session:
                await throttles.dequeue(session, check.slot_request)
                await gates.wait_at_gate(session, check.ref, check.start.generation, gate)
        return gate

    async def provider_gate(self, check: GateCheck, steps: Sequence[StepPlan]) -> Gate | None:
        """Check for a free place in the provider's queue. Without a provider rate this costs no I/O."""
        provider = rate_limited_provider(steps)
        if provider is None:
            return None
        async with self._database.transaction() as session:
            if await claims.has_free_place(session, provider):
                return None
            gate = Gate(reason=GateReason.PROVIDER_BUSY, provider=provider)
            await gates.wait_at_gate(session, check.ref, check.start.generation, gate)
        return gate

    async def limit_gate(self, check: GateCheck) -> GateDecision:
        """Acquire the slots of all limits. Called last and once: acquired slots are kept."""
        counted = check.counted_limits
        if not counted and check.context.waits_for is None:
            return None
        async with self._database.transaction() as session:
            full = await throttles.acquire_slots(session, check.slot_request, list(counted.values())) if counted else []
            if not full and await gates.pass_gates(session, check.ref):
                return None
            if not full:
                await session.rollback()
                return COLLECTED_OUTCOME
            reason = next(reason for reason, each in counted.items() if each in full)
            return await self._exceeded(session, check, reason, full)

    async def _exceeded(
        self, session: AsyncSession, check: GateCheck, reason: GateReason, full: list[CountedLimit]
    ) -> GateDecision:
        match action_on_exceed(check.notification_type, reason, is_digest=check.context.template_context.digest):
            case OnExceed.DROP:
                await throttles.dequeue(session, check.slot_request)
                after = await amend(
                    session,
                    check.ref,
                    lambda ledger: finish_notification(ledger, now(), NotificationStatus.SUPPRESSED, Reason(reason)),
                )
                return NotificationOutcome(status=after.status, reason=after.failure_reason)
            case OnExceed.DIGEST:
                await throttles.dequeue(session, check.slot_request)
                digest_key = check.digest_key(self._secret)
                await gates.move_to_digest(session, check.ref, check.start.generation, digest_key)
                return COLLECTED_OUTCOME
        until = await throttles.enqueue(session, check.slot_request, full)
        await gates.wait_at_gate(session, check.ref, check.start.generation, Gate(reason=reason, until=until))
        # Without a timer: the rows decide who is resumed when a slot is free, and in which order.
        return Gate(reason=reason)
