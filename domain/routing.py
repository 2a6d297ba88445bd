"""Which channels a notification takes, in which order, and why not the others. Pure; used by `resolve_preferences`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.messages import ChannelPlan, Endpoint, PooledProvider, StepPlan
from domain.names import delivery_id
from domain.notification_types import Guarantee, NotificationType
from domain.preferences import Preferences, decide

CONTACT_OF: dict[Channel, str] = {Channel.EMAIL: "email", Channel.SMS: "phone", Channel.WEBHOOK: "webhook_url"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooled:
    """One provider of a channel's pool, as far as routing cares. `can_be_asked`: reconcile is possible."""

    name: str
    timeout: timedelta
    device_kinds: frozenset[DeviceKind]
    can_be_asked: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Which contact points exist, never their values. `known` is False once the person is erased."""

    known: bool
    contacts: frozenset[str]
    devices: Sequence[tuple[str, DeviceKind]]
    preferences: Preferences


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """`by_rule`: somebody's decision, not something that is missing."""

    step: int
    channel: Channel
    reason: str
    by_rule: bool
    rule: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Router:
    """Decides channel by channel. `templated` names the channels that have a published template."""

    notification_id: UUID
    generation: int
    kind: NotificationType
    person: Person
    pools: Mapping[Channel, Sequence[Pooled]]
    templated: frozenset[Channel]
    last_attempts: Mapping[tuple[UUID, str], int] = field(default_factory=dict)

    def plan(self, only: Sequence[Channel] | None) -> tuple[tuple[StepPlan, ...], list[Skip]]:
        """`only` are the channels that the caller asked for; those it did not ask for are not mentioned."""
        steps: list[StepPlan] = []
        skips: list[Skip] = []
        for number, channels in enumerate(self.kind.route, start=1):
            wanted = [self._channel(number, channel) for channel in channels if only is None or channel in only]
            skips += [one for one in wanted if isinstance(one, Skip)]
            if taken := tuple(one for one in wanted if isinstance(one, ChannelPlan)):
                steps.append(StepPlan(number=number, channels=taken))
        return tuple(steps), skips

    def _channel(self, step: int, channel: Channel) -> ChannelPlan | Skip:
        if not self.person.known:
            return Skip(step=step, channel=channel, reason="recipient_erased", by_rule=True, rule=None)
        decision = decide(self.kind, channel, self.person.preferences)
        if not decision.allowed:
            reason = f"opted_out ({decision.rule})"
            return Skip(step=step, channel=channel, reason=reason, by_rule=True, rule=decision.rule)
        delivery = delivery_id(self.notification_id, self.generation, step, channel)
        endpoints = self._endpoints(channel)
        if missing := self._missing(channel, endpoints):
            return Skip(step=step, channel=channel, reason=missing, by_rule=False, rule=decision.rule)
        return ChannelPlan(
            channel=channel,
            delivery_id=delivery,
            rule=decision.rule,
            guarantee=self.kind.guarantee or self._default_guarantee(channel),
            endpoints=tuple(self._resumed(delivery, endpoint) for endpoint in endpoints if endpoint.providers),
        )

    def _resumed(self, delivery: UUID, endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, resume_at=self.last_attempts.get((delivery, endpoint.id), 1))

    def _endpoints(self, channel: Channel) -> list[Endpoint]:
        pool = self.pools.get(channel, ())
        if channel in (Channel.PUSH, Channel.WEB_PUSH):
            devices = [(id, kind) for id, kind in self.person.devices if kind.channel is channel]
            return [_endpoint(id, [p for p in pool if kind in p.device_kinds]) for id, kind in devices]
        contact = CONTACT_OF.get(channel)
        reachable = contact is None or contact in self.person.contacts
        return [_endpoint(channel, pool)] if reachable else []

    def _missing(self, channel: Channel, endpoints: list[Endpoint]) -> str | None:
        if not endpoints:
            return "no_address"
        if channel not in self.templated:
            return "no_template"
        return None if any(endpoint.providers for endpoint in endpoints) else "no_provider"

    def _default_guarantee(self, channel: Channel) -> Guarantee:
        pool = self.pools.get(channel, ())
        asked = bool(pool) and pool[0].can_be_asked
        return Guarantee.RECONCILE if asked else Guarantee.AT_LEAST_ONCE


def _endpoint(id: str, pool: Sequence[Pooled]) -> Endpoint:
    return Endpoint(id=id, providers=tuple(PooledProvider(name=p.name, timeout=p.timeout) for p in pool))
