"""Implement `resolve_preferences`: choose the channels and their order, give reasons for the others, and render the
steps that start immediately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from temporalio import activity

from activities.gates import COLLECTED_OUTCOME, GateCheck, GateChecker, LiveGateChecker
from activities.rendering import RenderingActivities
from domain.channels import Channel
from domain.languages import fallback_languages
from domain.messages import Gate, NotificationOutcome, Plan, ResolveInput, StepPlan
from domain.names import delivery_id
from domain.notification_types import NotificationType, TemplatePolicy
from domain.routing import PoolMember, Router, RoutingRecipient, SkippedChannel
from services.circuits import CircuitMonitor
from services.phone_numbers import phone_refusal
from storage.catalog import Catalog
from storage.database import Database
from storage.deliveries import NewDelivery
from storage.recipient_contexts import (
    RecipientContext,
    TemplateContext,
    read_recipient_context,
    read_recipient_contexts,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Hold the steps of one notification in order, and the skipped channels."""

    steps: Sequence[StepPlan]
    skips: Sequence[SkippedChannel]


class ResolutionActivities:
    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        pools: Mapping[Channel, Sequence[PoolMember]],
        circuits: CircuitMonitor,
        gates: LiveGateChecker,
        composition: RenderingActivities,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._pools = pools
        self._circuits = circuits
        self._gates = gates
        self._composition = composition

    @activity.defn
    async def resolve_preferences(self, start: ResolveInput) -> Plan:
        """Read once; write once, either the deliveries or the wait. Skipped channels are not recorded before the
        gates are open: the recipient may change the preferences until then."""
        async with self._database.statement() as session:
            context = await read_recipient_context(session, start.notification_id, start.tenant)
        if context is None or context.is_finished or context.generation != start.generation:
            return Plan(final_outcome=_final_outcome(context))
        if context.is_collected:
            return Plan(final_outcome=COLLECTED_OUTCOME)
        check = GateCheck(
            start=start,
            notification_type=await self._catalog.type_by_id(start.tenant, context.template_context.type_id),
            context=context,
        )
        decision = await self.check_gates(check, self._gates)
        if isinstance(decision, Gate):
            return Plan(gate=decision)
        if isinstance(decision, NotificationOutcome):
            return Plan(final_outcome=decision)
        return await self._render(check, decision)

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
        """Return, of those notifications that no channel is left for, why each channel is skipped."""
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
            recipient=_person(context, check.notification_type),
            pools=self._pools,
            channels_with_template=await self._channels_with_template(
                start.tenant, context.template_context, check.notification_type
            ),
            last_attempts=context.last_attempts,
            healths=self._circuits.healths,
            limits=context.limits,
        )

    async def _channels_with_template(
        self, tenant: UUID, template_context: TemplateContext, notification_type: NotificationType
    ) -> frozenset[Channel]:
        languages = fallback_languages(template_context.locale, template_context.default_language)
        as_of = template_context.created_at if notification_type.template_policy is TemplatePolicy.PINNED else None
        found = set()
        for channel, name in notification_type.templates.items():
            if await self._catalog.published(tenant, name, channel, languages, as_of):
                found.add(channel)
        return frozenset(found)

    async def _render(self, check: GateCheck, route: Route) -> Plan:
        """Render the steps that start immediately, which saves the workflow a render step."""
        plan = plan_of(route.steps, check)
        if not route.steps and not route.skips:
            return plan
        skipped = [_skipped_delivery(check.start, skip) for skip in route.skips]
        template_context = check.context.template_context
        rendered = await self._composition.render_steps(
            check.start, check.notification_type, template_context, plan.immediate_steps, skipped
        )
        return replace(plan, rendered=rendered)


def plan_of(steps: Sequence[StepPlan], check: GateCheck) -> Plan:
    always_step = next((step for step in steps if step.number == 0), None)
    return Plan(
        steps=tuple(step for step in steps if step is not always_step),
        always_step=always_step,
        give_up_after=check.notification_type.effective_give_up_after(check.context.priority),
    )


def _skipped_delivery(start: ResolveInput, skip: SkippedChannel) -> NewDelivery:
    return NewDelivery(
        id=delivery_id(start.notification_id, start.generation, skip.step, skip.channel),
        step=skip.step,
        channel=skip.channel,
        rule=skip.rule,
        skipped=skip.reason,
        is_skipped_by_rule=skip.is_skipped_by_rule,
    )


def _final_outcome(context: RecipientContext | None) -> NotificationOutcome:
    """Return the outcome of a row that is deleted, final or of a later generation: nothing is left to do."""
    if context is None:
        raise LookupError("the notification's row does not exist")
    return NotificationOutcome(status=context.status, reason=context.failure_reason)


def _person(context: RecipientContext, notification_type: NotificationType) -> RoutingRecipient:
    phone = context.phone if Channel.SMS in notification_type.channels else None
    return RoutingRecipient(
        known=context.is_known,
        contacts=context.contacts,
        devices=context.devices,
        preferences=context.preferences,
        suppressed=context.suppression_reasons,
        number_refused=phone_refusal(phone, context.phone_regions) if phone else None,
    )
