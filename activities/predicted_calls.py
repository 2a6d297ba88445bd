"""What each channel of a route would send, rendered, and what would hold its calls. Used by
`activities/predictions.py`."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from activities.circuits import Circuits
from activities.composition import Composition
from activities.gates import Asked
from activities.resolution import Route
from domain.forecasts import ChannelForecast, Decision, StepForecast
from domain.holds import HoldKind, Pause, paused_reason
from domain.messages import ChannelPlan
from domain.reasons import Reason, because
from domain.routing import Skip
from providers.base import Provider
from storage.deliveries import NewDelivery

# A delivery, and why it cannot be rendered.
Draft = tuple[NewDelivery, Reason | None]


class PredictedCalls:
    """`pauses` are those in force that may hold the notification back."""

    def __init__(
        self,
        composition: Composition,
        circuits: Circuits,
        providers: Mapping[str, Provider],
        pauses: Sequence[Pause],
    ) -> None:
        self._composition = composition
        self._circuits = circuits
        self._providers = providers
        self._pauses = pauses

    async def steps(self, asked: Asked, route: Route) -> list[StepForecast]:
        """Those of the route in their order, without their times."""
        plans = [(step.number, channel) for step in route.steps for channel in step.channels]
        tenant, words = asked.start.tenant, asked.audience.words
        drafts = await asyncio.gather(
            *(self._composition.draft(tenant, asked.kind, words, number, channel) for number, channel in plans)
        )
        found = [(skip.step, _skipped(skip)) for skip in route.skips]
        for (number, plan), draft in zip(plans, drafts, strict=True):
            found.append((number, self._channel(asked, plan, draft)))
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

    def _channel(self, asked: Asked, plan: ChannelPlan, draft: Draft) -> ChannelForecast:
        delivery, failure = draft
        providers = self._order(plan, asked.audience.now)
        failure = failure or self._refusal(providers[0], delivery)
        held = None if failure else self._held(asked, plan, providers[0])
        return ChannelForecast(
            channel=plan.channel,
            decision=Decision.SKIP if failure else Decision.WAIT if held else Decision.SEND,
            reason=failure or held,
            rule=plan.rule,
            providers=providers,
            devices=len(plan.endpoints),
            devices_skipped=plan.devices_skipped,
            template=delivery.template,
            content=delivery.content,
        )

    def _order(self, plan: ChannelPlan, at: datetime) -> tuple[str, ...]:
        """Those of the first endpoint; one that takes no calls now is called last."""
        names = [provider.name for provider in plan.endpoints[0].providers]
        return tuple(sorted(names, key=lambda name: self._circuits.known_hold(name, at) is not None))

    def _refusal(self, provider: str, delivery: NewDelivery) -> Reason | None:
        refusal = self._providers[provider].content_refusal(delivery.content or {})
        return None if refusal is None else because("refused", refusal.reason)

    def _held(self, asked: Asked, plan: ChannelPlan, provider: str) -> Reason | None:
        names = {HoldKind.CHANNEL: plan.channel, HoldKind.TYPE: asked.kind.key, HoldKind.PROVIDER: provider}
        for pause in self._pauses:
            if pause.name == names.get(pause.kind):
                return paused_reason(pause.kind, pause.name)
        held = self._circuits.known_hold(provider, asked.audience.now)
        return None if held is None else held.reason


def _skipped(skip: Skip) -> ChannelForecast:
    return ChannelForecast(
        channel=skip.channel, decision=Decision.SKIP, reason=skip.reason, by_rule=skip.by_rule, rule=skip.rule
    )
