"""Predict the calls of each channel of a route: rendered content, and what would hold them. Used by
`sends.py`."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.forecasts import ChannelForecast, ForecastDecision, StepForecast
from domain.holds import ActivePause, HoldKind, paused_reason
from domain.messages import ChannelPlan
from domain.notification_types import NotificationType
from domain.reasons import Reason, reason_with_cause
from domain.routing import SkippedChannel
from providers.base import Provider
from services.circuits import CircuitMonitor
from services.delivery_rendering import DeliveryRenderer
from services.gates import GateCheck
from services.route_resolution import Route
from storage.deliveries import NewDelivery

# A delivery, and why it cannot be rendered.
DeliveryDraft = tuple[NewDelivery, Reason | None]


class CallPredictor:
    """Predict calls. `pauses` are the active pauses that may hold the notification."""

    def __init__(
        self,
        delivery_renderer: DeliveryRenderer,
        circuits: CircuitMonitor,
        providers: Mapping[str, Provider],
        pauses: Sequence[ActivePause],
    ) -> None:
        self._delivery_renderer = delivery_renderer
        self._circuits = circuits
        self._providers = providers
        self._pauses = pauses

    async def steps(self, check: GateCheck, route: Route) -> list[StepForecast]:
        """Return the steps of the route in their order, without times."""
        plans = [(step.number, channel) for step in route.steps for channel in step.channels]
        tenant, template_context = check.start.tenant, check.context.template_context
        drafts = await asyncio.gather(
            *(
                self._delivery_renderer.draft_delivery(
                    tenant, check.notification_type, template_context, number, channel
                )
                for number, channel in plans
            )
        )
        found = [(skip.step, _skipped_forecast(check.notification_type, skip)) for skip in route.skips]
        for (number, plan), draft in zip(plans, drafts, strict=True):
            found.append((number, self._channel(check, plan, draft)))
        goals = {step.number: step for step in route.steps[:-1]}
        return [
            StepForecast(
                number=number,
                channels=tuple(channel for of, channel in found if of == number),
                goal=goals[number].goal if number in goals else None,
                within=goals[number].within if number in goals else None,
            )
            for number in sorted({number for number, _ in found})
        ]

    def _channel(self, check: GateCheck, plan: ChannelPlan, draft: DeliveryDraft) -> ChannelForecast:
        delivery, failure = draft
        providers = self._provider_order(plan, check.context.now)
        failure = failure or self._content_refusal(providers[0], delivery)
        hold = None if failure else self._hold_reason(check, plan, providers[0])
        return ChannelForecast(
            channel=plan.channel,
            decision=ForecastDecision.SKIP if failure else ForecastDecision.WAIT if hold else ForecastDecision.SEND,
            reason=failure or hold,
            rule=plan.rule,
            providers=providers,
            devices=len(plan.endpoints),
            devices_skipped=plan.devices_skipped,
            chat_room=delivery.chat_room,
            template=delivery.template,
            content=delivery.content,
        )

    def _provider_order(self, plan: ChannelPlan, at: datetime) -> tuple[str, ...]:
        """Return the providers of the first endpoint. A provider that takes no calls now is last."""
        names = [provider.name for provider in plan.endpoints[0].providers]
        return tuple(sorted(names, key=lambda name: self._circuits.known_hold(name, at) is not None))

    def _content_refusal(self, provider: str, delivery: NewDelivery) -> Reason | None:
        refusal = self._providers[provider].content_refusal(delivery.content or {})
        return None if refusal is None else reason_with_cause("refused", refusal.reason)

    def _hold_reason(self, check: GateCheck, plan: ChannelPlan, provider: str) -> Reason | None:
        names = {
            HoldKind.CHANNEL: plan.channel,
            HoldKind.TYPE: check.notification_type.key,
            HoldKind.PROVIDER: provider,
        }
        for pause in self._pauses:
            if pause.name == names.get(pause.kind):
                return paused_reason(pause.kind, pause.name)
        hold = self._circuits.known_hold(provider, check.context.now)
        return None if hold is None else hold.reason


def _skipped_forecast(notification_type: NotificationType, skip: SkippedChannel) -> ChannelForecast:
    return ChannelForecast(
        channel=skip.channel,
        decision=ForecastDecision.SKIP,
        reason=skip.reason,
        is_skipped_by_rule=skip.is_skipped_by_rule,
        rule=skip.rule,
        chat_room=notification_type.room_of(skip.channel),
    )
