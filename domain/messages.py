"""Everything that travels through Temporal with a notification: ids and facts, never addresses, names, bodies or
payloads. What digests and ticks say is in `domain/clock_messages.py`; what a step says that waits for its goal, in
`domain/goal_messages.py`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.channels import Channel
from domain.evidence import Evidence
from domain.notification_types import Guarantee
from domain.reasons import Args, Reason
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.workflow_runs import RunState


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationStart:
    """`waits`: until `send_at`, as its queue entry does. `carried` is what an earlier run of the workflow says."""

    notification_id: UUID
    tenant: UUID
    generation: int
    notification_type: str
    priority: int
    send_at: datetime | None = None
    expires_at: datetime | None = None
    waits_for_send_at: bool = False
    run_state: RunState | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationOutcome:
    status: NotificationStatus
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PooledProvider:
    """`timeout` is the activity's: the adapter's own deadline plus what the guard and the record need. `settles_within`
    is how long its vendor can be asked, or may report, before an unknown outcome stays in doubt. `guarantee` says what
    unknown outcomes mean, and `max_resends` how often it is sent again after them; None is no limit. Calls of one that
    `has_rate` go through its own queue, where the server holds the rate."""

    name: str
    timeout: timedelta
    settles_within: timedelta = timedelta()
    guarantee: Guarantee | None = None
    max_resends: int | None = None
    has_rate: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One place to deliver to, and the providers that can, in order. `id`: a device row's id or the channel's name.

    `first_attempt_number` is the last attempt that an earlier, lost workflow made: `deliver` answers what its row says.
    `earlier_unknown_outcomes` counts the attempts before it whose outcome is unknown.
    """

    id: str
    providers: tuple[PooledProvider, ...]
    first_attempt_number: int = 1
    earlier_unknown_outcomes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelPlan:
    """`devices_skipped` counts the person's devices that are not among the endpoints, since there are too many."""

    channel: Channel
    delivery_id: UUID
    rule: str
    guarantee: Guarantee
    endpoints: tuple[Endpoint, ...]
    devices_skipped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """`goal` beyond "sent": the next step runs if it is not reached `within`."""

    number: int
    channels: tuple[ChannelPlan, ...]
    goal: Evidence | None = None
    within: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolveInput:
    notification_id: UUID
    tenant: UUID
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """What a notification waits for before it may go out, and when that opens by itself; without `until` somebody
    tells. `provider` is the one that is busy."""

    reason: str
    until: datetime | None = None
    provider: str | None = None

    @property
    def full_reason(self) -> Reason:
        return Reason(self.reason, {"provider": self.provider} if self.provider else {})


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderInput:
    notification_id: UUID
    tenant: UUID
    generation: int
    step: StepPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderResult:
    """Why a channel could not be rendered, by delivery; text in older results. `closed`: the row is final."""

    is_closed: bool = False
    failures: dict[UUID, Reason | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`settled` is set when the row is final or of another generation: there is nothing left to do. `beside` is step 0,
    the channels that go out always, whatever becomes of the others. With a `gate` it is too early: ask again.
    `rendered` is the result of the steps that start at once; None in plans of workflows that render each step."""

    steps: tuple[StepPlan, ...] = ()
    always_step: StepPlan | None = None
    give_up_after: timedelta = timedelta()
    final_outcome: NotificationOutcome | None = None
    gate: Gate | None = None
    rendered: RenderResult | None = None

    @property
    def immediate_steps(self) -> tuple[StepPlan, ...]:
        """The channels that go out always, and the first step of the route."""
        return (self.always_step, *self.steps[:1]) if self.always_step else self.steps[:1]


class CallResult(StrEnum):
    """What became of one call of `deliver`. `ELSEWHERE`: it was not made, and is to be scheduled on the provider's own
    queue."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_ACCEPTED = "not_accepted"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"
    STOPPED = "stopped"
    HELD = "held"
    REROUTED = "rerouted"
    NEEDS_PROVIDER_QUEUE = "needs_provider_queue"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverInput:
    """`ends` says that the notification is over if this is accepted: then `deliver` writes the end as well.

    `pool` are all providers that can; `others` are left to try while this one's circuit is open. `goal` is what the
    workflow will wait for after an acceptance; `waits_for_evidence`: after an unknown outcome it will wait for evidence.
    `is_unserved`: no worker has taken it from the provider's own queue for minutes.
    """

    notification_id: UUID
    tenant: UUID
    generation: int
    delivery_id: UUID
    channel: Channel
    endpoint_id: str
    provider: str
    attempt_number: int
    finishes_notification: bool
    pool: tuple[str, ...] = ()
    has_alternatives: bool = False
    goal: Evidence | None = None
    waits_for_evidence: bool = False
    is_unserved: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverResult:
    """`reason` is the provider's, or our own with `args`. `stopped_status` is the delivery's end when the guard said no.
    `recorded` False asks the workflow to record it. `provider` is whom the attempt asked; `evidence` and `sent_at` are
    what is known of it. What is held until a moment that is known has it in `until`."""

    result: CallResult
    reason: str | None = None
    args: Args = field(default_factory=dict)
    retry_after: timedelta | None = None
    stopped_status: DeliveryStatus | None = None
    status: NotificationStatus = NotificationStatus.PENDING
    finished: bool = False
    recorded: bool = True
    provider_message_id: str | None = None
    provider: str | None = None
    evidence: Evidence | None = None
    sent_at: datetime | None = None
    until: datetime | None = None

    @property
    def full_reason(self) -> Reason:
        return Reason(self.reason or str(self.result), self.args)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordInput:
    call: DeliverInput
    outcome: DeliverResult


# The reason of an unknown outcome whose provider does not let our account ask.
LOOKUP_REFUSED = "lookup_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class LookUpInput:
    """`final`: the settle window is over, so that what a vendor cannot find was never there."""

    call: DeliverInput
    final: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryEnd:
    delivery_id: UUID
    status: DeliveryStatus
    reason: str
    args: Args = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleInput:
    """Ends of deliveries; with `verdict` also the end of the notification, with `waits_for` never: `step` waits for
    that much evidence of one of its deliveries. `beside`: other channels go on, and the workflow waits for them."""

    notification_id: UUID
    tenant: UUID
    generation: int
    ends: tuple[DeliveryEnd, ...] = ()
    verdict: NotificationStatus | None = None
    reason: str | None = None
    step: int | None = None
    waits_for: Evidence | None = None
    has_always_step: bool = False
