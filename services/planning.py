"""Plan a notification: check its gates, choose its steps, and render those that start immediately. Used by the activity
`resolve_preferences`."""

from dataclasses import replace

from domain.gates import Gate
from domain.messages import NotificationOutcome, Plan, ResolveInput
from domain.names import delivery_id
from domain.routing import SkippedChannel
from services.delivery_rendering import DeliveryRenderer
from services.gates import COLLECTED_OUTCOME, GateCheck, LiveGateChecker
from services.route_resolution import Route, RouteResolver, plan_of
from storage.catalog import Catalog
from storage.database import Database
from storage.deliveries import NewDelivery
from storage.preferences import RecipientContext, read_recipient_context


class NotificationPlanner:
    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        gates: LiveGateChecker,
        route_resolver: RouteResolver,
        delivery_renderer: DeliveryRenderer,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._gates = gates
        self._route_resolver = route_resolver
        self._delivery_renderer = delivery_renderer

    async def plan(self, start: ResolveInput) -> Plan:
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
        decision = await self._route_resolver.check_gates(check, self._gates)
        if isinstance(decision, Gate):
            return Plan(gate=decision)
        if isinstance(decision, NotificationOutcome):
            return Plan(final_outcome=decision)
        return await self._render(check, decision)

    async def _render(self, check: GateCheck, route: Route) -> Plan:
        """Render the steps that start immediately, which saves the workflow a render step."""
        plan = plan_of(route.steps, check)
        if not route.steps and not route.skips:
            return plan
        skipped = [_skipped_delivery(check.start, skip) for skip in route.skips]
        template_context = check.context.template_context
        rendered = await self._delivery_renderer.render_steps(
            check.start, check.notification_type, template_context, plan.immediate_steps, skipped
        )
        return replace(plan, rendered=rendered)


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
