"""Choose the channels of a notification and their order, with a reason for each skipped one. Used by plans,
predictions and redrives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.channels import Channel
from domain.gates import Gate
from domain.messages import NotificationOutcome, Plan, ResolveInput, StepPlan
from domain.notification_types import NotificationType, TemplatePolicy
from domain.routing import PoolMember, Router, RoutingRecipient, SkippedChannel
from services.circuits import CircuitMonitor
from services.contact_rules import phone_refusal
from services.gates import GateCheck, GateChecker
from storage import chat_rooms
from storage.catalog import Catalog
from storage.database import Database
from storage.preferences import (
    RecipientContext,
    TemplateContext,
    read_recipient_contexts,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Hold the steps of one notification in order, and the skipped channels."""

    steps: Sequence[StepPlan]
    skips: Sequence[SkippedChannel]


class RouteResolver:
    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        pools: Mapping[Channel, Sequence[PoolMember]],
        circuits: CircuitMonitor,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._pools = pools
        self._circuits = circuits

    async def check_gates(self, check: GateCheck, gates: GateChecker) -> Gate | NotificationOutcome | Route:
        """Check the gates in order. Return the closed gate, the final outcome, or the route."""
        if (gate := await gates.time_gate(check)) is not None:
            return gate
        steps, skips = (await self._router(check)).plan(check.context.channels)
        if (gate := await gates.provider_gate(check, plan_of(steps, check).immediate_steps)) is not None:
            return gate
        return (await gates.limit_gate(check) if steps else None) or Route(steps=steps, skips=skips)

    async def find_unreachable(
        self, tenant: UUID, notification_ids: Sequence[UUID]
    ) -> dict[UUID, list[SkippedChannel]]:
        """Return why each channel is skipped, for the notifications that have no channel left."""
        async with self._database.statement() as session:
            audiences = await read_recipient_contexts(session, notification_ids, tenant)
        found = {}
        for id, context in audiences.items():
            start = ResolveInput(notification_id=id, tenant=tenant, generation=context.generation + 1)
            notification_type = await self._catalog.type_by_id(tenant, context.template_context.type_id)
            check = GateCheck(start=start, notification_type=notification_type, context=context)
            steps, skips = (await self._router(check)).plan(context.channels)
            if not steps:
                found[id] = skips
        return found

    async def _router(self, check: GateCheck) -> Router:
        start, context = check.start, check.context
        return Router(
            notification_id=start.notification_id,
            generation=start.generation,
            notification_type=check.notification_type,
            recipient=_routing_recipient(context, check.notification_type),
            pools=self._pools,
            channels_with_template=await self._channels_with_template(
                start.tenant, context.template_context, check.notification_type
            ),
            chat_rooms=await self._chat_rooms(start.tenant, check.notification_type),
            last_attempts=context.last_attempts,
            healths=self._circuits.healths,
            limits=context.limits,
        )

    async def _chat_rooms(self, tenant: UUID, notification_type: NotificationType) -> frozenset[str]:
        """Return the room that the type names, if it exists. Types without a room need no query."""
        room = notification_type.chat.room
        if room is None or Channel.CHAT not in notification_type.channels:
            return frozenset()
        async with self._database.statement() as session:
            return frozenset({room} if await chat_rooms.exists(session, tenant, room) else ())

    async def _channels_with_template(
        self, tenant: UUID, template_context: TemplateContext, notification_type: NotificationType
    ) -> frozenset[Channel]:
        as_of = template_context.created_at if notification_type.template_policy is TemplatePolicy.PINNED else None
        found = set()
        for channel, name in notification_type.templates.items():
            if await self._catalog.published(tenant, name, channel, template_context.languages, as_of):
                found.add(channel)
        return frozenset(found)


def plan_of(steps: Sequence[StepPlan], check: GateCheck) -> Plan:
    always_step = next((step for step in steps if step.number == 0), None)
    return Plan(
        steps=tuple(step for step in steps if step is not always_step),
        always_step=always_step,
        give_up_after=check.notification_type.effective_give_up_after(check.context.priority),
    )


def _routing_recipient(context: RecipientContext, notification_type: NotificationType) -> RoutingRecipient:
    phone = context.phone if Channel.SMS in notification_type.channels else None
    return RoutingRecipient(
        known=context.is_known,
        contacts=context.contacts,
        devices=context.devices,
        device_locales=context.device_locales,
        preferences=context.preferences,
        suppressed=context.suppression_reasons,
        number_refused=phone_refusal(phone, context.phone_regions) if phone else None,
    )
