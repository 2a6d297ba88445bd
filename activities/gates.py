"""May it go out by now? The gates of a notification before it is rendered; used by `resolve_preferences`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from activities.composition import queued_for
from domain.clock import now
from domain.digests import group_of
from domain.gates import GateReason, by_the_hour, claims, exceeding
from domain.ledger import finish
from domain.messages import Gate, NotificationOutcome, ResolveInput, StepPlan
from domain.notification_types import NotificationType
from domain.reasons import Reason
from domain.statuses import NotificationStatus
from domain.throttles import Claimed
from domain.timing import OnExceed
from storage import gates, provider_queues, throttles
from storage.audiences import Audience
from storage.database import Database
from storage.ledgers import Key, amend
from storage.throttles import Asker


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One notification at the gates."""

    start: ResolveInput
    kind: NotificationType
    audience: Audience

    @property
    def key(self) -> Key:
        return Key(notification_id=self.start.notification_id, tenant=self.start.tenant)

    @property
    def asker(self) -> Asker:
        return Asker(
            notification_id=self.start.notification_id,
            generation=self.start.generation,
            tenant=self.start.tenant,
            priority=self.audience.priority,
        )

    @property
    def hour(self) -> Gate | None:
        """What holds it at the moment of `audience.now`."""
        audience = self.audience
        return by_the_hour(self.kind, audience.priority, audience.quiet_hours, audience.timezone, audience.now)

    def group(self, secret: bytes) -> str:
        """The key of the digests that it may be collected in."""
        audience = self.audience
        payload = audience.words.payload
        return group_of(secret, self.start.tenant, self.kind, audience.recipient_id, payload, audience.channels)

    @property
    def claims(self) -> dict[GateReason, Claimed]:
        audience = self.audience
        return claims(self.kind, audience.priority, audience.recipient_id, audience.person_cap)


# Its digest goes for it from now on; the row's own end comes with that.
COLLECTED = NotificationOutcome(status=NotificationStatus.DIGESTED, reason="collected")
Answer = Gate | NotificationOutcome | None


class GateChecks(Protocol):
    """None lets it go on; a Gate is waited for, an outcome is its end."""

    async def hour(self, asked: Asked) -> Gate | None: ...

    async def provider(self, asked: Asked, steps: Sequence[StepPlan]) -> Gate | None: ...

    async def amount(self, asked: Asked) -> Answer: ...


class Gates:
    """The checks of a notification that is sent, which write what it waits for. See GateChecks."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret

    async def hour(self, asked: Asked) -> Gate | None:
        """Costs nothing where no hour is held."""
        gate = asked.hour
        if gate is not None:
            async with self._database.transaction() as session:
                await throttles.leave(session, asked.asker)
                await gates.wait(session, asked.key, asked.start.generation, gate)
        return gate

    async def provider(self, asked: Asked, steps: Sequence[StepPlan]) -> Gate | None:
        """Costs nothing where no provider has a rate."""
        provider = queued_for(steps)
        if provider is None:
            return None
        async with self._database.transaction() as session:
            if await provider_queues.has_room(session, provider):
                return None
            gate = Gate(reason=GateReason.PROVIDER_BUSY, provider=provider)
            await gates.wait(session, asked.key, asked.start.generation, gate)
        return gate

    async def amount(self, asked: Asked) -> Answer:
        """Taken last and once: what has its slots keeps them."""
        claimed = asked.claims
        if not claimed and asked.audience.waits_for is None:
            return None
        async with self._database.transaction() as session:
            full = await throttles.take(session, asked.asker, list(claimed.values())) if claimed else []
            if not full and await gates.passed(session, asked.key):
                return None
            if not full:
                await session.rollback()
                return COLLECTED
            why = next(reason for reason, each in claimed.items() if each in full)
            return await self._exceeded(session, asked, why, full)

    async def _exceeded(self, session: AsyncSession, asked: Asked, why: GateReason, full: list[Claimed]) -> Answer:
        match exceeding(asked.kind, why, is_digest=asked.audience.words.digest):
            case OnExceed.DROP:
                await throttles.leave(session, asked.asker)
                after = await amend(
                    session, asked.key, lambda ledger: finish(ledger, now(), NotificationStatus.SUPPRESSED, Reason(why))
                )
                return NotificationOutcome(status=after.status, reason=after.failure_reason)
            case OnExceed.DIGEST:
                await throttles.leave(session, asked.asker)
                group = asked.group(self._secret)
                await gates.collect(session, asked.key, asked.start.generation, group)
                return COLLECTED
        until = await throttles.queue(session, asked.asker, full)
        await gates.wait(session, asked.key, asked.start.generation, Gate(reason=why, until=until))
        return Gate(reason=why)  # without a timer: who is told when there is room, and in which order, the rows know
