"""Which channels a notification takes, in which order, and why not the others. Pure; used by `resolve_preferences`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.circuits import Health, ordered
from domain.messages import ChannelPlan, Endpoint, PooledProvider, StepPlan
from domain.names import delivery_id
from domain.notification_types import Guarantee, NotificationType, Step
from domain.preferences import Preferences, decide
from domain.rates import UNSET, Limits
from domain.reasons import Reason
from domain.stored_limits import DEVICES_USED

CONTACT_OF: dict[Channel, str] = {Channel.EMAIL: "email", Channel.SMS: "phone", Channel.WEBHOOK: "webhook_url"}


DICE = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooled:
    """One provider of a channel's pool, as far as routing cares. `can_be_asked`: reconcile is possible, and
    `settles_within` says for how long. `weight` is its share of the channel, in points; all 0 is the pool's order.
    `rate` is the one of the settings; 0 is none. `idempotent`: a repeated send does no harm."""

    name: str
    timeout: timedelta
    device_kinds: frozenset[DeviceKind]
    can_be_asked: bool
    settles_within: timedelta = timedelta()
    weight: int = 0
    rate: float = 0
    idempotent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Which contact points exist, never their values. `known` is False once the person is erased. `devices` begin with
    the one that was registered last. `suppressed` says, by channel, why nobody may write to them;
    `number_refused` why nothing is sent to a number of this kind."""

    known: bool
    contacts: frozenset[str]
    devices: Sequence[tuple[str, DeviceKind]]
    preferences: Preferences
    suppressed: Mapping[Channel, str] = field(default_factory=dict)
    number_refused: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """`by_rule`: somebody's decision, not something that is missing."""

    step: int
    channel: Channel
    reason: Reason
    by_rule: bool
    rule: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastAttempt:
    """The last attempt for an endpoint, and how many before it have an unknown outcome."""

    number: int = 1
    unknown_before: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Router:
    """Decides channel by channel. `templated` names the channels that have a published template; `healths` are those of
    providers that are not well, `limits` the rates that operators have set at run time."""

    notification_id: UUID
    generation: int
    kind: NotificationType
    person: Person
    pools: Mapping[Channel, Sequence[Pooled]]
    templated: frozenset[Channel]
    last_attempts: Mapping[tuple[UUID, str], LastAttempt] = field(default_factory=dict)
    healths: Mapping[str, Health] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)

    def plan(self, only: Sequence[Channel] | None) -> tuple[tuple[StepPlan, ...], list[Skip]]:
        """Step 0 holds the channels that go out always. `only` are those that the caller asked for; the others are not
        mentioned."""
        steps: list[StepPlan] = []
        skips: list[Skip] = []
        for number, step in enumerate((Step(channels=self.kind.always), *self.kind.route)):
            wanted = [self._channel(number, channel) for channel in step.channels if only is None or channel in only]
            skips += [one for one in wanted if isinstance(one, Skip)]
            if taken := tuple(one for one in wanted if isinstance(one, ChannelPlan)):
                steps.append(StepPlan(number=number, channels=taken, goal=step.goal, within=step.within))
        return tuple(steps), skips

    def _channel(self, step: int, channel: Channel) -> ChannelPlan | Skip:
        if not self.person.known:
            return Skip(step=step, channel=channel, reason=Reason("recipient_erased"), by_rule=True, rule=None)
        decision = decide(self.kind, channel, self.person.preferences)
        if not decision.allowed:
            return Skip(step=step, channel=channel, reason=decision.refusal, by_rule=True, rule=decision.rule)
        if why := self.person.suppressed.get(channel):
            reason = Reason("suppressed", {"list": why})
            return Skip(step=step, channel=channel, reason=reason, by_rule=True, rule="suppression")
        if channel is Channel.SMS and (why := self.person.number_refused):
            reason = Reason("number_refused", {"rule": why})
            return Skip(step=step, channel=channel, reason=reason, by_rule=True, rule=None)
        delivery = delivery_id(self.notification_id, self.generation, step, channel)
        endpoints = self._endpoints(channel, self._dice(delivery))
        if missing := self._missing(channel, endpoints):
            return Skip(step=step, channel=channel, reason=Reason(missing), by_rule=False, rule=decision.rule)
        usable = [endpoint for endpoint in endpoints if endpoint.providers]
        used = self._used(delivery, usable)
        return ChannelPlan(
            channel=channel,
            delivery_id=delivery,
            rule=decision.rule,
            guarantee=self.kind.guarantee or Guarantee.AT_LEAST_ONCE,
            endpoints=tuple(self._resumed(delivery, endpoint) for endpoint in used),
            devices_skipped=len(usable) - len(used),
        )

    def _used(self, delivery: UUID, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Those that a lost workflow has begun with come first: what became of their calls is still to be found out."""
        begun = sorted(endpoints, key=lambda endpoint: (delivery, endpoint.id) not in self.last_attempts)
        return begun[:DEVICES_USED]

    def _resumed(self, delivery: UUID, endpoint: Endpoint) -> Endpoint:
        last = self.last_attempts.get((delivery, endpoint.id), LastAttempt())
        return replace(endpoint, resume_at=last.number, unknown_before=last.unknown_before)

    @staticmethod
    def _dice(delivery: UUID) -> float:
        """The same for the same delivery, so that one that is resumed begins where it began."""
        return delivery.int % DICE / DICE

    def _endpoints(self, channel: Channel, dice: float) -> list[Endpoint]:
        pool = self._in_order(self.pools.get(channel, ()), dice)
        if channel in (Channel.PUSH, Channel.WEB_PUSH):
            devices = [(id, kind) for id, kind in self.person.devices if kind.channel is channel]
            return [self._endpoint(id, [p for p in pool if kind in p.device_kinds]) for id, kind in devices]
        contact = CONTACT_OF.get(channel)
        reachable = contact is None or contact in self.person.contacts
        return [self._endpoint(channel, pool)] if reachable else []

    def _in_order(self, pool: Sequence[Pooled], dice: float) -> list[Pooled]:
        members = {member.name: member for member in pool}
        points = {name: member.weight for name, member in members.items()}
        return [members[name] for name in ordered(points, self.healths, dice)]

    def _endpoint(self, id: str, pool: Sequence[Pooled]) -> Endpoint:
        return Endpoint(id=id, providers=tuple(self._provider(member) for member in pool))

    def _provider(self, member: Pooled) -> PooledProvider:
        return PooledProvider(
            name=member.name,
            timeout=member.timeout,
            settles_within=member.settles_within,
            guarantee=self.kind.guarantee or self._default_guarantee(member),
            max_resends=None if member.idempotent else self.kind.max_resends,
            has_rate=self.limits.get(member.name, UNSET).over(member.rate).is_limited,
        )

    def _missing(self, channel: Channel, endpoints: list[Endpoint]) -> str | None:
        if not endpoints:
            return "no_address"
        if channel not in self.templated:
            return "no_template"
        return None if any(endpoint.providers for endpoint in endpoints) else "no_provider"

    def _default_guarantee(self, member: Pooled) -> Guarantee:
        return Guarantee.RECONCILE if self._can_be_asked(member) else Guarantee.AT_LEAST_ONCE

    def _can_be_asked(self, member: Pooled) -> bool:
        health = self.healths.get(member.name)
        return member.can_be_asked and not (health is not None and health.lookup_refused)
