"""`resolve_preferences`: which channels, in which order, why not the others; renders what starts at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from temporalio import activity

from activities.circuits import Circuits
from activities.composition import Composition
from activities.gates import COLLECTED, Asked, GateChecks, Gates
from domain.channels import Channel
from domain.languages import chain
from domain.messages import Gate, NotificationOutcome, Plan, ResolveInput, StepPlan
from domain.names import delivery_id
from domain.notification_types import NotificationType, TemplatePolicy
from domain.routing import Person, Pooled, Router, Skip
from storage.audiences import Audience, Words, read_audience, read_audiences
from storage.catalog import Catalog
from storage.database import Database
from storage.deliveries import NewDelivery
from storage.phone_numbers import phone_refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The steps of one notification in their order, and the channels that are skipped."""

    steps: Sequence[StepPlan]
    skips: Sequence[Skip]


class Resolution:
    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        pools: Mapping[Channel, Sequence[Pooled]],
        circuits: Circuits,
        gates: Gates,
        composition: Composition,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._pools = pools
        self._circuits = circuits
        self._gates = gates
        self._composition = composition

    @activity.defn
    async def resolve_preferences(self, start: ResolveInput) -> Plan:
        """One read; one write of what is rendered or skipped, or of the hour or the limit that holds it. Channels are
        not written down as skipped before it may go out: the person may change their mind until then."""
        async with self._database.statement() as session:
            audience = await read_audience(session, start.notification_id, start.tenant)
        if audience is None or audience.finished or audience.generation != start.generation:
            return Plan(settled=_settled(audience))
        if audience.collected:
            return Plan(settled=COLLECTED)
        asked = Asked(
            start=start, kind=await self._catalog.type_by_id(start.tenant, audience.words.type_id), audience=audience
        )
        decision = await self.decide(asked, self._gates)
        if isinstance(decision, Gate):
            return Plan(gate=decision)
        if isinstance(decision, NotificationOutcome):
            return Plan(settled=decision)
        return await self._rendered(asked, decision)

    async def decide(self, asked: Asked, gates: GateChecks) -> Gate | NotificationOutcome | Route:
        """Ask the gates in their order. Return what it waits for, how it ended, or the route of one that passed."""
        if (gate := await gates.hour(asked)) is not None:
            return gate
        steps, skips = (await self._router(asked)).plan(asked.audience.channels)
        if (gate := await gates.provider(asked, plan_of(steps, asked).starts_at_once)) is not None:
            return gate
        return (await gates.amount(asked) if steps else None) or Route(steps=steps, skips=skips)

    async def unreachable(self, tenant: UUID, notification_ids: Sequence[UUID]) -> dict[UUID, list[Skip]]:
        """Return, of those notifications that no channel is left for, why each channel is skipped."""
        async with self._database.statement() as session:
            audiences = await read_audiences(session, notification_ids, tenant)
        found = {}
        for id, audience in audiences.items():
            start = ResolveInput(notification_id=id, tenant=tenant, generation=audience.generation + 1)
            kind = await self._catalog.type_by_id(tenant, audience.words.type_id)
            asked = Asked(start=start, kind=kind, audience=audience)
            steps, skips = (await self._router(asked)).plan(audience.channels)
            if not steps:
                found[id] = skips
        return found

    async def _router(self, asked: Asked) -> Router:
        start, audience = asked.start, asked.audience
        return Router(
            notification_id=start.notification_id,
            generation=start.generation,
            kind=asked.kind,
            person=_person(audience, asked.kind),
            pools=self._pools,
            templated=await self._templated(start.tenant, audience.words, asked.kind),
            last_attempts=audience.last_attempts,
            healths=self._circuits.healths,
            limits=audience.limits,
        )

    async def _templated(self, tenant: UUID, words: Words, kind: NotificationType) -> frozenset[Channel]:
        languages = chain(words.locale, words.default_language)
        as_of = words.created_at if kind.template_policy is TemplatePolicy.PINNED else None
        found = set()
        for channel, name in kind.templates.items():
            if await self._catalog.published(tenant, name, channel, languages, as_of):
                found.add(channel)
        return frozenset(found)

    async def _rendered(self, asked: Asked, route: Route) -> Plan:
        """No gate holds it: what starts at once is rendered here, which saves the workflow a step of its own."""
        plan = plan_of(route.steps, asked)
        if not route.steps and not route.skips:
            return plan
        skipped = [_skipped(asked.start, skip) for skip in route.skips]
        words = asked.audience.words
        rendered = await self._composition.compose(asked.start, asked.kind, words, plan.starts_at_once, skipped)
        return replace(plan, rendered=rendered)


def plan_of(steps: Sequence[StepPlan], asked: Asked) -> Plan:
    beside = next((step for step in steps if step.number == 0), None)
    return Plan(
        steps=tuple(step for step in steps if step is not beside),
        beside=beside,
        patience=asked.kind.patience(asked.audience.priority),
    )


def _skipped(start: ResolveInput, skip: Skip) -> NewDelivery:
    return NewDelivery(
        id=delivery_id(start.notification_id, start.generation, skip.step, skip.channel),
        step=skip.step,
        channel=skip.channel,
        rule=skip.rule,
        skipped=skip.reason,
        by_rule=skip.by_rule,
    )


def _settled(audience: Audience | None) -> NotificationOutcome:
    """A row that is gone, final or of a later generation needs nothing from this workflow."""
    if audience is None:
        raise LookupError("the notification's row does not exist")
    return NotificationOutcome(status=audience.status, reason=audience.failure_reason)


def _person(audience: Audience, kind: NotificationType) -> Person:
    phone = audience.phone if Channel.SMS in kind.channels else None
    return Person(
        known=audience.known,
        contacts=audience.contacts,
        devices=audience.devices,
        preferences=audience.preferences,
        suppressed=audience.suppressed,
        number_refused=phone_refusal(phone, audience.phone_regions) if phone else None,
    )
