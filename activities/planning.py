"""Implement `resolve_preferences` and `render_messages`: plan a notification and render its steps."""

from temporalio import activity

from domain.messages import Plan, RenderInput, RenderResult, ResolveInput
from services.delivery_rendering import DeliveryRenderer
from services.planning import NotificationPlanner


class PlanningActivities:
    def __init__(self, planner: NotificationPlanner, delivery_renderer: DeliveryRenderer) -> None:
        self._planner = planner
        self._delivery_renderer = delivery_renderer

    @activity.defn
    async def resolve_preferences(self, start: ResolveInput) -> Plan:
        """Plan the notification with the recipient's preferences as they are now. Return the plan, the gate to wait
        at, or the final outcome. Render the steps that start immediately."""
        return await self._planner.plan(start)

    @activity.defn
    async def render_messages(self, start: RenderInput) -> RenderResult:
        """Render a step that starts later. A template error is a value: a retry would fail again."""
        return await self._delivery_renderer.render_step(start)
