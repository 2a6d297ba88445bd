"""`resolve_preferences`: which channels, in which order, and why not the others."""

from collections.abc import Mapping, Sequence

from temporalio import activity

from activities.circuits import Circuits
from activities.gates import COLLECTED, Asked, Gates
from domain.channels import Channel
from domain.languages import chain
from domain.messages import Gate, NotificationOutcome, Plan, ResolveInput
from domain.names import delivery_id
from domain.notification_types import NotificationType, TemplatePolicy
from domain.routing import Person, Pooled, Router, Skip
from storage.audiences import Audience, read_audience
from storage.catalog import Catalog
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries


class Resolution:
    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        pools: Mapping[Channel, Sequence[Pooled]],
        circuits: Circuits,
        gates: Gates,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._pools = pools
        self._circuits = circuits
        self._gates = gates

    @activity.defn
    async def resolve_preferences(self, start: ResolveInput) -> Plan:
        """Reads one row; writes only if a channel is skipped, or the hour or a limit holds it. Channels are not written
        down as skipped before it may go out: the person may change their mind until then."""
        async with self._database.transaction() as session:
            audience = await read_audience(session, start.notification_id, start.tenant)
        if audience is None or audience.finished or audience.generation != start.generation:
            return Plan(settled=_settled(audience))
        if audience.collected:
            return Plan(settled=COLLECTED)
        kind = await self._catalog.type_by_id(start.tenant, audience.type_id)
        asked = Asked(start=start, kind=kind, audience=audience)
        if (gate := await self._gates.hour(asked)) is not None:
            return Plan(gate=gate)
        router = Router(
            notification_id=start.notification_id,
            generation=start.generation,
            kind=kind,
            person=_person(audience),
            pools=self._pools,
            templated=await self._templated(start, audience, kind),
            last_attempts=audience.last_attempts,
            healths=self._circuits.healths,
        )
        steps, skips = router.plan(audience.channels)
        answer = await self._gates.amount(asked) if steps else None
        if isinstance(answer, Gate):
            return Plan(gate=answer)
        if answer is not None:
            return Plan(settled=answer)
        if skips:
            await self._record(start, skips)
        beside = next((step for step in steps if step.number == 0), None)
        route = tuple(step for step in steps if step is not beside)
        return Plan(steps=route, beside=beside, patience=kind.patience(audience.priority))

    async def _templated(self, start: ResolveInput, audience: Audience, kind: NotificationType) -> frozenset[Channel]:
        languages = chain(audience.locale, audience.default_language)
        as_of = audience.created_at if kind.template_policy is TemplatePolicy.PINNED else None
        found = set()
        for channel, name in kind.templates.items():
            if await self._catalog.published(start.tenant, name, channel, languages, as_of):
                found.add(channel)
        return frozenset(found)

    async def _record(self, start: ResolveInput, skips: list[Skip]) -> None:
        items = [
            NewDelivery(
                id=delivery_id(start.notification_id, start.generation, skip.step, skip.channel),
                step=skip.step,
                channel=skip.channel,
                rule=skip.rule,
                skipped=skip.reason,
                by_rule=skip.by_rule,
            )
            for skip in skips
        ]
        async with self._database.transaction() as session:
            await insert_deliveries(session, start.notification_id, start.tenant, start.generation, items)


def _settled(audience: Audience | None) -> NotificationOutcome:
    """A row that is gone, final or of a later generation needs nothing from this workflow."""
    if audience is None:
        raise LookupError("the notification's row does not exist")
    return NotificationOutcome(status=audience.status, reason=audience.failure_reason)


def _person(audience: Audience) -> Person:
    return Person(
        known=audience.known,
        contacts=audience.contacts,
        devices=audience.devices,
        preferences=audience.preferences,
        suppressed=audience.suppressed,
    )
