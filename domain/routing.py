"""Choose the channels of a notification and their order, and give reasons for the others. Pure; used by
`resolve_preferences`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitHealth, order_providers
from domain.messages import ChannelPlan, Endpoint, PlannedProvider, StepPlan
from domain.names import delivery_id
from domain.notification_types import Guarantee, NotificationType, RouteStep
from domain.preferences import ChannelDecision, RecipientPreferences, decide_channel
from domain.rates import NO_RATE_LIMITS, ProviderRateLimits
from domain.reasons import Reason, missing_address_reason
from domain.stored_limits import MAX_DEVICES_PER_CHANNEL

CONTACT_OF: dict[Channel, str] = {
    Channel.EMAIL: "email",
    Channel.SMS: "phone",
    Channel.WEBHOOK: "webhook_url",
    Channel.CHAT: "chat_url",
}
URL_CONTACTS = frozenset({"webhook_url", "chat_url"})


RAND_STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolMember:
    """Describe a provider of a channel's pool for routing. `supports_lookup`: reconcile is possible, for
    `settles_within`. `weight` is its share of the channel in points; all 0 means the pool's order. `rate` is that of
    the settings; 0 is none. `idempotent`: a repeated send has no effect; `idempotency_window`: it has none for so
    long."""

    name: str
    timeout: timedelta
    device_kinds: frozenset[DeviceKind]
    supports_lookup: bool
    settles_within: timedelta = timedelta()
    weight: int = 0
    rate: float = 0
    idempotent: bool = False
    idempotency_window: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingRecipient:
    """Describe the existing contact points without their values. `known` is False after an erasure. `devices` begin
    with the one that was registered last; `device_locales` are those of devices with their own. `suppressed` is why an
    address is suppressed, by channel; `number_refused` is why nothing is sent to a number of this kind."""

    known: bool
    contacts: frozenset[str]
    devices: Sequence[tuple[str, DeviceKind]]
    preferences: RecipientPreferences
    device_locales: Mapping[str, str] = field(default_factory=dict)
    suppressed: Mapping[Channel, str] = field(default_factory=dict)
    number_refused: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedChannel:
    """Describe a channel that is not used. `is_skipped_by_rule`: a rule excluded it; otherwise something is missing."""

    step: int
    channel: Channel
    reason: Reason
    is_skipped_by_rule: bool
    rule: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastAttempt:
    """Hold the last attempt for an endpoint, and how many before it have an unknown outcome."""

    number: int = 1
    earlier_unknown_outcomes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Router:
    """Plan channel by channel. `channels_with_template` have a published template; `chat_rooms` are those of the tenant
    that the type names. `healths` are those of unhealthy providers, `limits` the rates that operators have set at run
    time."""

    notification_id: UUID
    generation: int
    notification_type: NotificationType
    recipient: RoutingRecipient
    pools: Mapping[Channel, Sequence[PoolMember]]
    channels_with_template: frozenset[Channel]
    chat_rooms: frozenset[str] = frozenset()
    last_attempts: Mapping[tuple[UUID, str], LastAttempt] = field(default_factory=dict)
    healths: Mapping[str, CircuitHealth] = field(default_factory=dict)
    limits: Mapping[str, ProviderRateLimits] = field(default_factory=dict)

    def plan(self, only: Sequence[Channel] | None) -> tuple[tuple[StepPlan, ...], list[SkippedChannel]]:
        """Return the steps and the skipped channels. Step 0 holds the channels that are always sent. `only`
        restricts the plan to the channels that the caller asked for; the others are not reported."""
        steps: list[StepPlan] = []
        skips: list[SkippedChannel] = []
        for number, step in enumerate(
            (RouteStep(channels=self.notification_type.always), *self.notification_type.route)
        ):
            wanted = [
                self._plan_channel(number, channel) for channel in step.channels if only is None or channel in only
            ]
            skips += [one for one in wanted if isinstance(one, SkippedChannel)]
            if taken := tuple(one for one in wanted if isinstance(one, ChannelPlan)):
                steps.append(StepPlan(number=number, channels=taken, goal=step.goal, within=step.within))
        return tuple(steps), skips

    def _plan_channel(self, step: int, channel: Channel) -> ChannelPlan | SkippedChannel:
        decision = decide_channel(self.notification_type, channel, self.recipient.preferences)
        if refusal := self._refusal(channel, decision):
            reason, rule = refusal
            return SkippedChannel(step=step, channel=channel, reason=reason, is_skipped_by_rule=True, rule=rule)
        delivery = delivery_id(self.notification_id, self.generation, step, channel)
        endpoints = self._endpoints(channel, self._rand(delivery))
        if missing := self._missing_reason(channel, endpoints):
            return SkippedChannel(
                step=step, channel=channel, reason=missing, is_skipped_by_rule=False, rule=decision.rule
            )
        usable = [endpoint for endpoint in endpoints if endpoint.providers]
        used = self._used_endpoints(delivery, usable)
        return ChannelPlan(
            channel=channel,
            delivery_id=delivery,
            rule=decision.rule,
            guarantee=self.notification_type.guarantee or Guarantee.AT_LEAST_ONCE,
            endpoints=tuple(self._resume(delivery, endpoint) for endpoint in used),
            devices_skipped=len(usable) - len(used),
        )

    def _refusal(self, channel: Channel, decision: ChannelDecision) -> tuple[Reason, str | None] | None:
        """Return why a rule skips the channel, and the rule's name if it has one."""
        if not self.recipient.known:
            return Reason("recipient_erased"), None
        if not decision.allowed:
            return decision.refusal, decision.rule
        if why := self.recipient.suppressed.get(channel):
            return Reason("suppressed", {"list": why}), "suppression"
        if channel is Channel.SMS and (why := self.recipient.number_refused):
            return Reason("number_refused", {"rule": why}), None
        return None

    def _used_endpoints(self, delivery: UUID, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the endpoints up to the limit, first those that a lost workflow has called: the outcomes of its
        calls must be determined."""
        begun_first = sorted(endpoints, key=lambda endpoint: (delivery, endpoint.id) not in self.last_attempts)
        return begun_first[:MAX_DEVICES_PER_CHANNEL]

    def _resume(self, delivery: UUID, endpoint: Endpoint) -> Endpoint:
        last = self.last_attempts.get((delivery, endpoint.id), LastAttempt())
        return replace(
            endpoint, first_attempt_number=last.number, earlier_unknown_outcomes=last.earlier_unknown_outcomes
        )

    @staticmethod
    def _rand(delivery: UUID) -> float:
        """Return the same number for the same delivery, so that a resumed delivery starts with the same provider."""
        return delivery.int % RAND_STEPS / RAND_STEPS

    def _endpoints(self, channel: Channel, rand: float) -> list[Endpoint]:
        pool = self._order_pool(self.pools.get(channel, ()), rand)
        if channel in (Channel.PUSH, Channel.WEB_PUSH):
            devices = [
                (id, device_kind) for id, device_kind in self.recipient.devices if device_kind.channel is channel
            ]
            return [
                self._endpoint(id, [p for p in pool if device_kind in p.device_kinds]) for id, device_kind in devices
            ]
        return [self._endpoint(channel, pool)] if self._is_reachable(channel) else []

    def _is_reachable(self, channel: Channel) -> bool:
        """Return whether the channel has its single address."""
        if room := self.notification_type.room_of(channel):
            return room in self.chat_rooms
        contact = CONTACT_OF.get(channel)
        return contact is None or contact in self.recipient.contacts

    def _order_pool(self, pool: Sequence[PoolMember], rand: float) -> list[PoolMember]:
        members = {member.name: member for member in pool}
        points = {name: member.weight for name, member in members.items()}
        return [members[name] for name in order_providers(points, self.healths, rand)]

    def _endpoint(self, id: str, pool: Sequence[PoolMember]) -> Endpoint:
        providers = tuple(self._planned_provider(member) for member in pool)
        return Endpoint(id=id, providers=providers, locale=self.recipient.device_locales.get(id))

    def _planned_provider(self, member: PoolMember) -> PlannedProvider:
        return PlannedProvider(
            name=member.name,
            timeout=member.timeout,
            settles_within=member.settles_within,
            guarantee=self.notification_type.guarantee or self._default_guarantee(member),
            max_resends=None if member.idempotent else self.notification_type.max_resends,
            idempotency_window=member.idempotency_window,
            has_rate=self.limits.get(member.name, NO_RATE_LIMITS).effective(member.rate).is_limited,
        )

    def _missing_reason(self, channel: Channel, endpoints: list[Endpoint]) -> Reason | None:
        if not endpoints:
            return missing_address_reason(self.notification_type.room_of(channel))
        if channel not in self.channels_with_template:
            return Reason("no_template")
        return None if any(endpoint.providers for endpoint in endpoints) else Reason("no_provider")

    def _default_guarantee(self, member: PoolMember) -> Guarantee:
        can_find_out = self._supports_lookup(member) or member.idempotency_window
        return Guarantee.RECONCILE if can_find_out else Guarantee.AT_LEAST_ONCE

    def _supports_lookup(self, member: PoolMember) -> bool:
        health = self.healths.get(member.name)
        return member.supports_lookup and not (health is not None and health.lookup_refused)
